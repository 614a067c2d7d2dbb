# Where the dependencies are. deps/fetch (run by ./run --setup and ./test) installs llama.cpp with
# ggml and whisper.cpp outside the checkout and writes their folders to .cache/deps.cmake, which
# sets GANTRY_LLAMA_PREFIX and so on for each of them, and GANTRY_TEST_PYTHON (empty until ./test
# has run). All build folders share that file, and ninja configures anew when it changes. Nothing
# here uses the network.
#
# Targets: ggml::ggml, ggml::ggml-base, llama, whisper, openvino::runtime, sherpa-onnx; the rest by
# each vendor's own name.

include(${PROJECT_SOURCE_DIR}/.cache/deps.cmake OPTIONAL RESULT_VARIABLE GANTRY_DEPS_FILE)
foreach(part LLAMA WHISPER OPENVINO GGML_OPENVINO OPENVINO_TOKENIZERS SHERPA_ONNX SILERO_VAD
             MOONSHINE_TINY_EN PYANNOTE_SEGMENTATION CAMPPLUS PYANNOTE_SAMPLE)
  if(NOT GANTRY_DEPS_FILE OR NOT EXISTS "${GANTRY_${part}_PREFIX}")
    message(FATAL_ERROR "the dependencies are not installed (run: ./run --setup)")
  endif()
endforeach()

# CMake remembers where a package was found; after a dependency was rebuilt that is the old place.
set(ggml_DIR ${GANTRY_LLAMA_PREFIX}/lib/cmake/ggml CACHE PATH "From .cache/deps.cmake" FORCE)
set(llama_DIR ${GANTRY_LLAMA_PREFIX}/lib/cmake/llama CACHE PATH "From .cache/deps.cmake" FORCE)
set(whisper_DIR ${GANTRY_WHISPER_PREFIX}/lib/cmake/whisper CACHE PATH "From .cache/deps.cmake"
    FORCE)
unset(llama_LIBRARY CACHE)
unset(whisper_LIBRARY CACHE)
find_package(ggml CONFIG REQUIRED)
find_package(llama CONFIG REQUIRED)
find_package(whisper CONFIG REQUIRED) # once only: its package file has no guard

set(OpenVINO_DIR ${GANTRY_OPENVINO_PREFIX}/openvino/cmake CACHE PATH "From .cache/deps.cmake"
    FORCE)
find_package(OpenVINO CONFIG REQUIRED COMPONENTS Runtime)

add_library(sherpa-onnx SHARED IMPORTED)
set_target_properties(sherpa-onnx PROPERTIES
  IMPORTED_LOCATION ${GANTRY_SHERPA_ONNX_PREFIX}/lib/libsherpa-onnx-c-api.so
  INTERFACE_INCLUDE_DIRECTORIES ${GANTRY_SHERPA_ONNX_PREFIX}/include)

# Debian's, see deps/debian.txt.
find_package(nlohmann_json REQUIRED)    # nlohmann_json::nlohmann_json
find_package(tl-expected REQUIRED)      # tl::expected
find_package(fmt REQUIRED)              # fmt::fmt
find_package(spdlog REQUIRED)           # spdlog::spdlog
find_package(CLI11 REQUIRED)            # CLI11::CLI11
find_package(yaml-cpp REQUIRED)         # yaml-cpp
find_package(SQLite3 REQUIRED)          # SQLite::SQLite3
find_package(Boost REQUIRED)            # Boost::headers (Beast, Asio)

if(GANTRY_TESTS)
  add_test(NAME deps.fetch COMMAND ${PROJECT_SOURCE_DIR}/deps/fetch_test.py)
  add_test(NAME deps.campplus COMMAND ${PROJECT_SOURCE_DIR}/deps/campplus_test.py)
  set_tests_properties(deps.fetch deps.campplus PROPERTIES TIMEOUT 120)
endif()
