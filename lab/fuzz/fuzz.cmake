# gantry_fuzz(NAME SOURCE LINKS library ...): a libFuzzer program NAME_fuzz in the preset fuzz, and
# nothing in the others. The target fuzzers builds all of them; lab/fuzz/run runs them.
#
# gantry_fuzzed(library ...): instruments the libraries under test, so that the fuzzer sees
# which branches an input takes.
function(gantry_fuzzed)
  if(GANTRY_FUZZ)
    foreach(library IN LISTS ARGN)
      target_compile_options(${library} PRIVATE -fsanitize=fuzzer-no-link)
    endforeach()
  endif()
endfunction()

function(gantry_fuzz name source)
  cmake_parse_arguments(FUZZ "" "" "LINKS" ${ARGN})
  if(NOT GANTRY_FUZZ)
    return()
  endif()
  add_executable(${name}_fuzz EXCLUDE_FROM_ALL ${source})
  target_compile_options(${name}_fuzz PRIVATE ${GANTRY_WARNINGS} -fsanitize=fuzzer-no-link)
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name}_fuzz PRIVATE ${FUZZ_LINKS})
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers ${name}_fuzz)
endfunction()
