// node-llama-cpp's estimates. Reads rows of JSON, one a line; writes one line for each:
// {"id", "weights", "context"} or {"id", "error"}. "part" of a row: "formula" is GgufInsights'
// arithmetic, "simulation" asks the llama.cpp that the package carries for a dry run.
import {createInterface} from "node:readline";
import {GgmlType, GgufInsights, readGgufFileInfo} from "node-llama-cpp";

const types = {f32: GgmlType.F32, f16: GgmlType.F16, bf16: GgmlType.BF16, q8_0: GgmlType.Q8_0,
    q5_1: GgmlType.Q5_1, q5_0: GgmlType.Q5_0, q4_1: GgmlType.Q4_1, q4_0: GgmlType.Q4_0};

const read = {};  // of the file that was asked for last

async function insightsOf(file) {
    if (read.file !== file) {
        read.insights = await GgufInsights.from(await readGgufFileInfo(file));
        read.file = file;
    }
    return read.insights;
}

async function estimate(row) {
    const insights = await insightsOf(row.file);
    const model = {gpuLayers: row.gpu_layers, useMmap: false};
    const context = {
        contextSize: row.context_each, modelGpuLayers: row.gpu_layers,
        batchSize: row.ubatch, sequences: row.parallel, isEmbeddingContext: row.embeddings,
        flashAttention: row.flash, kvCacheKeyType: types[row.cache_k],
        kvCacheValueType: types[row.cache_v], useMmap: false
    };
    const place = row.gpu_layers > 0 ? "gpuVram" : "cpuRam";
    if (row.part === "formula") {
        return {
            id: row.id, weights: insights.estimateModelResourceRequirements(model)[place],
            context: insights.estimateContextResourceRequirements(context)[place]
        };
    }
    if (row.gpu_layers > 0) return {id: row.id, error: "its llama.cpp knows no accelerator here"};
    // The package falls back to the formula without a word; asked like this it says why not.
    const dry = await insights._simulateModelResourceUsage(model);
    const dryContext = await insights._simulateContextResourceUsage(context);
    if (dry == null || dryContext == null) throw new Error("no simulation of this file");
    return {id: row.id, weights: dry[place], context: dryContext[place]};
}

for await (const line of createInterface({input: process.stdin})) {
    const row = JSON.parse(line);
    let out;
    try {
        out = await estimate(row);
    } catch (error) {
        out = {id: row.id, error: String(error?.message ?? error)};
    }
    process.stdout.write(JSON.stringify(out) + "\n");
}
process.exit(0);
