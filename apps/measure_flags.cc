// One flag an option, with llama.cpp's names where the meaning is the same.
#include "apps/measure_flags.h"

namespace gantry {

CLI::App* add_measure_command(CLI::App& app, MeasureOptions* o) {
  CLI::App* command = app.add_subcommand("measure", "Load a model, run it, print JSON lines");
  command->add_option("-m,--model", o->model, "GGUF file")->required();
  command->add_option("--plugin", o->plugin, "a ggml backend whose device gets the layers");
  command->add_option("--device", o->device, "ggml's name of the device to use");
  command->add_option("--ngl,--num-gpu-layers", o->gpu_layers, "layers on it; -1: all");
  command->add_option("-t,--threads", o->threads, "compute threads; 0: one a processor");
  command->add_option("-b,--batch-size", o->batch, "tokens a step may have");
  command->add_option("--ub,--ubatch-size", o->ubatch, "tokens computed at once");
  command->add_option("-c,--ctx-size", o->context, "context in tokens; 0: what the run needs");
  command->add_option("--fa,--flash-attn", o->flash_attention, "auto, on, off");
  command->add_option("--lm,--load-mode", o->load_mode, "auto, none, mmap, mlock, dio");
  command->add_option("-p,--n-prompt", o->prompt, "tokens read per iteration");
  command->add_option("-n,--n-gen", o->decode, "tokens written per sequence and iteration");
  command->add_option("-s,--sequences", o->sequences, "sequences written at once");
  command->add_option("--warmup", o->warmup, "iterations before those that count");
  command->add_option("--iterations", o->iterations, "iterations that count");
  command->add_flag("!--no-repack", o->repack, "keep CPU weights as the file has them");
  command->add_flag("!--no-op-offload", o->op_offload, "compute host weights on the CPU always");
  return command;
}

}  // namespace gantry
