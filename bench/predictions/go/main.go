// gguf-parser-go's estimates. Reads rows of JSON, one a line; writes one line for each:
// {"id", "weights", "kv", "compute", "process"} of host memory, or {"id", "error"}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	gguf "github.com/gpustack/gguf-parser-go"
)

type row struct {
	ID        string `json:"id"`
	File      string `json:"file"`
	Mmproj    string `json:"mmproj"`
	Context   int32  `json:"context"` // of all sequences together, as llama-server's -c
	Parallel  int32  `json:"parallel"`
	Ubatch    int32  `json:"ubatch"`
	CacheK    string `json:"cache_k"`
	CacheV    string `json:"cache_v"`
	Flash     bool   `json:"flash"`
	GpuLayers uint64 `json:"gpu_layers"`
}

type answer struct {
	ID      string `json:"id"`
	Weights uint64 `json:"weights"`
	KV      uint64 `json:"kv"`
	Compute uint64 `json:"compute"`
	Process uint64 `json:"process"`
	Device  uint64 `json:"device"` // of the accelerator, where layers are there
	Error   string `json:"error,omitempty"`
}

var types = map[string]gguf.GGMLType{
	"f32": gguf.GGMLTypeF32, "f16": gguf.GGMLTypeF16, "bf16": gguf.GGMLTypeBF16,
	"q8_0": gguf.GGMLTypeQ8_0, "q5_1": gguf.GGMLTypeQ5_1, "q5_0": gguf.GGMLTypeQ5_0,
	"q4_1": gguf.GGMLTypeQ4_1, "q4_0": gguf.GGMLTypeQ4_0,
}

func estimate(r row) (out answer) {
	out.ID = r.ID
	defer func() {
		if cause := recover(); cause != nil {
			out = answer{ID: r.ID, Error: fmt.Sprint(cause)}
		}
	}()
	file, err := gguf.ParseGGUFFile(r.File)
	if err != nil {
		return answer{ID: r.ID, Error: err.Error()}
	}
	options := []gguf.GGUFRunEstimateOption{
		gguf.WithLLaMACppContextSize(r.Context), gguf.WithParallelSize(r.Parallel),
		gguf.WithLLaMACppLogicalBatchSize(r.Ubatch), gguf.WithLLaMACppPhysicalBatchSize(r.Ubatch),
		gguf.WithLLaMACppCacheKeyType(types[r.CacheK]),
		gguf.WithLLaMACppCacheValueType(types[r.CacheV]),
		gguf.WithLLaMACppOffloadLayers(r.GpuLayers),
	}
	if r.Flash {
		options = append(options, gguf.WithFlashAttention())
	}
	if r.Mmproj != "" {
		projector, err := gguf.ParseGGUFFile(r.Mmproj)
		if err != nil {
			return answer{ID: r.ID, Error: err.Error()}
		}
		estimated := projector.EstimateLLaMACppRun(gguf.WithLLaMACppOffloadLayers(r.GpuLayers))
		options = append(options, gguf.WithLLaMACppProjector(&estimated))
	}
	whole := file.EstimateLLaMACppRun(options...)
	for _, part := range []*gguf.LLaMACppRunEstimate{&whole, whole.Projector} {
		if part == nil {
			continue
		}
		host := part.Devices[0]
		out.Weights += uint64(host.Weight.Sum())
		out.KV += uint64(host.KVCache.Sum())
		// Computation.Footprint is metadata of graphs: of the process, not of a buffer.
		compute := host.Computation
		out.Compute += uint64(compute.Input + max(compute.Compute, compute.Output))
	}
	item := whole.SummarizeItem(false, 0, 0)
	out.Process = uint64(item.RAM.UMA)
	out.Device = uint64(item.VRAMs[0].NonUMA)
	return out
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(estimate(r)); err != nil {
			os.Exit(1)
		}
	}
}
