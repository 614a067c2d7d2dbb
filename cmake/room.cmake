# gantry_room(NAME SOURCES a.cc ... [LINKS room ...] [VENDOR target ...] [TESTS x_test.cc ...]
#             [TEST_LINKS room ...])
#
# One static library per room. LINKS names the rooms it may include (that is its permission);
# VENDOR targets stay private, so a vendor's header is visible in this room only.
# All TESTS of a room become one program NAME_tests, found by ctest.
function(gantry_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;VENDOR;TESTS;TEST_LINKS" ${ARGN})
  add_library(gantry_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(gantry_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(gantry_${name} PRIVATE ${GANTRY_WARNINGS})
  foreach(link IN LISTS ROOM_LINKS)
    target_link_libraries(gantry_${name} PUBLIC gantry_${link})
  endforeach()
  target_link_libraries(gantry_${name} PRIVATE ${ROOM_VENDOR})
  if(GANTRY_TESTS AND ROOM_TESTS)
    add_executable(${name}_tests ${ROOM_TESTS})
    target_compile_options(${name}_tests PRIVATE ${GANTRY_WARNINGS})
    target_link_libraries(${name}_tests PRIVATE gantry_${name} ${ROOM_VENDOR} GTest::gtest_main
                                                GTest::gmock)
    foreach(link IN LISTS ROOM_TEST_LINKS)
      target_link_libraries(${name}_tests PRIVATE gantry_${link})
    endforeach()
    gtest_discover_tests(${name}_tests TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 120)
  endif()
endfunction()
