# SPDX-License-Identifier: BSD-3-Clause
# Three short ways to say what most folders say, and the targets that gather what they made.
#   programs     every program and libnorma.so, without the tests
#   unit_tests   the tests that run in one process and are worth repeating under sanitizers
#   thread_tests those of them that have threads

add_custom_target(programs)
add_custom_target(unit_tests)
add_custom_target(thread_tests)

# norma_add_library(name [SHARED] SOURCES ... [LIBRARIES ...]): a static library unless SHARED is said. A shared one
# shows what is marked for export and nothing else, and needs only the libraries whose code it uses.
function(norma_add_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "SHARED" "" "SOURCES;LIBRARIES")
    if(arg_SHARED)
        add_library(${name} SHARED ${arg_SOURCES})
        target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
        target_link_options(${name} PRIVATE -Wl,--as-needed -Wl,--exclude-libs,ALL)
        set_target_properties(${name} PROPERTIES
            CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
            VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
        add_dependencies(programs ${name})
    else()
        add_library(${name} STATIC ${arg_SOURCES})
        target_link_libraries(${name} PUBLIC ${arg_LIBRARIES})
    endif()
endfunction()

# norma_add_program(name [OUTPUT file] SOURCES ... [LIBRARIES ...]): a program in bin/, installed. OUTPUT is its file
# name where that cannot be the name of the target.
function(norma_add_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUTPUT" "SOURCES;LIBRARIES")
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
    if(arg_OUTPUT)
        set_target_properties(${name} PROPERTIES OUTPUT_NAME ${arg_OUTPUT})
    endif()
    set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    add_dependencies(programs ${name})
    set_property(GLOBAL APPEND PROPERTY NORMA_PROGRAMS ${name})
endfunction()

# norma_add_test(name SOURCES ... [LIBRARIES ...] [UNIT] [THREADS] [TIMEOUT seconds] [SERIAL]): a GoogleTest program,
# each case a test of its own. UNIT: one process, repeated under the address and undefined sanitizers. THREADS: repeated
# under the thread sanitizer too. SERIAL: not beside other tests (it measures, or starts a whole job).
function(norma_add_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "UNIT;THREADS;SERIAL" "TIMEOUT" "SOURCES;LIBRARIES")
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest_main GTest::gmock)
    # One word, because gtest_discover_tests loses lists; ctest's -L finds either part of it.
    set(label job)
    if(arg_UNIT)
        set(label unit)
        add_dependencies(unit_tests ${name})
    endif()
    if(arg_THREADS)
        string(APPEND label -threads)
        add_dependencies(thread_tests ${name})
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    set(properties TIMEOUT ${arg_TIMEOUT})
    if(arg_SERIAL)
        list(APPEND properties RUN_SERIAL TRUE)
    endif()
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES ${properties} LABELS ${label})
endfunction()

# norma_add_check(name command...): a test that is a script; it gets the source and the build folder in its environment.
function(norma_add_check name)
    add_test(NAME ${name} COMMAND ${ARGN})
    set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
        ENVIRONMENT "SOURCE_DIR=${CMAKE_SOURCE_DIR};BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()
