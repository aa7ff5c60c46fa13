# SPDX-License-Identifier: BSD-3-Clause

# norma_add_with_bug(TARGET PATCH LIBRARIES...): a program with one source file of the product patched. It goes before
# the product's archives, which then have nothing more to give for that file.
function(norma_add_with_bug target patch)
    file(STRINGS ${patch} changed REGEX "^\\+\\+\\+ b/" LIMIT_COUNT 1)
    string(REGEX REPLACE "^\\+\\+\\+ b/" "" changed ${changed})
    add_custom_command(OUTPUT ${target}.cpp
        COMMAND ${PATCH_PROGRAM} --quiet --output ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp ${CMAKE_SOURCE_DIR}/${changed}
                ${patch}
        DEPENDS ${patch} ${CMAKE_SOURCE_DIR}/${changed}
        VERBATIM)
    add_executable(${target} ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp)
    target_link_libraries(${target} PRIVATE ${ARGN})
endfunction()
