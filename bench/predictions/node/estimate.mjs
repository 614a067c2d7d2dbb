// node-llama-cpp's estimates. Reads rows of JSON, one a line; writes one line for each:
// {"id", "formula": {"weights", "context"}, "simulation": {"weights", "context"}} or {"id", "error"}.
// Both are the package's own: the formula is GgufInsights' arithmetic, the simulation asks the
// llama.cpp that the package carries (an older one than ours) for a dry run.
import {createInterface} from "node:readline";
import {GgmlType, GgufInsights, readGgufFileInfo} from "node-llama-cpp";

const types = {f32: GgmlType.F32, f16: GgmlType.F16, bf16: GgmlType.BF16, q8_0: GgmlType.Q8_0,
    q5_1: GgmlType.Q5_1, q5_0: GgmlType.Q5_0, q4_1: GgmlType.Q4_1, q4_0: GgmlType.Q4_0};

function sum(device, model, context) {
    return {weights: model[device], context: context[device]};
}

async function estimate(row) {
    const info = await readGgufFileInfo(row.file);
    const insights = await GgufInsights.from(info);
    const model = {gpuLayers: row.gpu_layers, useMmap: false};
    const context = {
        contextSize: row.context_each, modelGpuLayers: row.gpu_layers,
        batchSize: row.ubatch, sequences: row.parallel, isEmbeddingContext: row.embeddings, flashAttention: row.flash,
        kvCacheKeyType: types[row.cache_k], kvCacheValueType: types[row.cache_v], useMmap: false
    };
    const out = {id: row.id};
    const weights = insights.estimateModelResourceRequirements(model);
    out.formula = sum("cpuRam", weights, insights.estimateContextResourceRequirements(context));
    // The package falls back to the formula without a word; asked like this it says why not.
    try {
        const dry = await insights._simulateModelResourceUsage(model);
        const dryContext = await insights._simulateContextResourceUsage(context);
        if (dry == null || dryContext == null) throw new Error("no simulation of this file");
        out.simulation = sum("cpuRam", dry, dryContext);
    } catch (error) {
        out.simulation = {error: String(error?.message ?? error)};
    }
    return out;
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
