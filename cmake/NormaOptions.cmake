# SPDX-License-Identifier: BSD-3-Clause
# The options a user may set, the build type, and the flags that follow from them.

option(NORMA_BUILD_TESTS "Build the tests (needs GoogleTest)" ON)
option(NORMA_FUZZ "Build the program that libFuzzer drives (needs clang)" OFF)
set(NORMA_SANITIZE "" CACHE STRING "Sanitizers for everything that is built: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(norma_build_types Debug Release RelWithDebInfo MinSizeRel)
if(NOT CMAKE_BUILD_TYPE IN_LIST norma_build_types)
    message(FATAL_ERROR "CMAKE_BUILD_TYPE is '${CMAKE_BUILD_TYPE}'; it must be one of: ${norma_build_types}")
endif()

# Assertions stay on in every build: a coherence protocol that goes on after a broken invariant hands out wrong data.
foreach(type RELEASE RELWITHDEBINFO MINSIZEREL)
    foreach(language C CXX)
        string(REPLACE "-DNDEBUG" "" CMAKE_${language}_FLAGS_${type} "${CMAKE_${language}_FLAGS_${type}}")
    endforeach()
endforeach()

if(NORMA_SANITIZE)
    set(norma_sanitizers "address" "undefined" "address,undefined" "thread")
    if(NOT NORMA_SANITIZE IN_LIST norma_sanitizers)
        message(FATAL_ERROR "NORMA_SANITIZE is '${NORMA_SANITIZE}'; it must be empty or one of: ${norma_sanitizers}")
    endif()
    add_compile_options(-fsanitize=${NORMA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${NORMA_SANITIZE})
endif()

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(NORMA_CCACHE ccache)
    if(NORMA_CCACHE)
        set(CMAKE_C_COMPILER_LAUNCHER ${NORMA_CCACHE})
        set(CMAKE_CXX_COMPILER_LAUNCHER ${NORMA_CCACHE})
    endif()
endif()
