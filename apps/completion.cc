// Shell completion, derived from the parser itself so that it cannot fall behind.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/context.h"

namespace gantry {

namespace {

struct ShellFlags final : Flags {
  std::string shell;
};

std::vector<std::string> words_of(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    for (const std::string& name : option->get_snames()) words.push_back("-" + name);
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    words.push_back(sub->get_name());
  }
  return words;
}

std::string bash_script(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    cases += fmt::format("    {}) words=\"{}\" ;;\n", sub->get_name(),
                         fmt::join(words_of(*sub), " "));
  }
  return fmt::format(
      "# gantry completion for bash: source <(gantry completion bash)\n"
      "_gantry() {{\n"
      "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" command=\"\" words\n"
      "  for w in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n"
      "    case \"$w\" in -*) ;; *) command=\"$w\"; break ;; esac\n"
      "  done\n"
      "  case \"$command\" in\n{}"
      "    *) words=\"{}\" ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  case \"$word\" in -*) ;; *) COMPREPLY+=($(compgen -f -- \"$word\")) ;; esac\n"
      "}}\n"
      "complete -o filenames -F _gantry gantry\n",
      cases, fmt::join(words_of(app), " "));
}

std::string fish_script(const CLI::App& app) {
  std::string out = "# gantry completion for fish: gantry completion fish | source\n";
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    out += fmt::format("complete -c gantry -n __fish_use_subcommand -a {} -d '{}'\n",
                       sub->get_name(), sub->get_description());
    for (const CLI::Option* option : sub->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        out += fmt::format("complete -c gantry -n '__fish_seen_subcommand_from {}' -l {}\n",
                           sub->get_name(), name);
      }
    }
  }
  return out;
}

Result<std::string> completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") return bash_script(app);
  if (shell == "zsh") return "autoload -U +X bashcompinit && bashcompinit\n" + bash_script(app);
  if (shell == "fish") return fish_script(app);
  return fail(Code::kUsage, "no completion for '" + shell + "'", "use bash, zsh or fish");
}

}  // namespace

void add_completion(CLI::App& app, CliContext& context) {
  ShellFlags& flags = context.keep<ShellFlags>();
  CLI::App* command = app.add_subcommand("completion", "Completion script for your shell");
  command->add_option("shell", flags.shell, "bash, zsh or fish")->required();
  command->footer("Example:\n  source <(gantry completion bash)");
  command->callback([&context, &flags, &app] {
    context.work = [&context, &flags, &app] {
      Result<std::string> script = completion_script(app, flags.shell);
      return context.finish(script ? print(*script) : Result<void>(fail(script.error())));
    };
  });
}

}  // namespace gantry
