# SPDX-License-Identifier: BSD-3-Clause
# norma_add_parmacs_executable(name [PLAIN] source...): a program from sources with PARMACS macros (docs/parmacs.md). Of
# the sources x.C becomes x.c and x.H becomes x.h, for the others to include; C files stay as they are. Its threads run
# on all nodes of a job; with PLAIN they are the C library's, for comparison. NORMA_PARMACS_M4 is where the macros are.
function(norma_add_parmacs_executable name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "PLAIN" "" "")
    find_program(NORMA_M4 m4 REQUIRED)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name}.parmacs)
    file(MAKE_DIRECTORY ${folder})
    set(sources)
    foreach(source ${arg_UNPARSED_ARGUMENTS})
        get_filename_component(file ${source} ABSOLUTE)
        get_filename_component(made ${source} NAME)
        if(made MATCHES "\\.(C|H)$")
            string(REGEX REPLACE "C$" "c" made ${made})
            string(REGEX REPLACE "H$" "h" made ${made})
            add_custom_command(OUTPUT ${folder}/${made}
                COMMAND ${NORMA_M4} -s ${NORMA_PARMACS_M4} ${file} > ${folder}/${made}
                DEPENDS ${file} ${NORMA_PARMACS_M4}
                VERBATIM)
            set(file ${folder}/${made})
        endif()
        list(APPEND sources ${file})
    endforeach()
    add_executable(${name} ${sources})
    target_include_directories(${name} PRIVATE ${folder} ${CMAKE_CURRENT_SOURCE_DIR})
    if(arg_PLAIN)
        target_compile_definitions(${name} PRIVATE NORMA_PARMACS_PLAIN)
        target_include_directories(${name} PRIVATE
            $<TARGET_PROPERTY:norma::pthread,INTERFACE_INCLUDE_DIRECTORIES>)
        target_link_libraries(${name} PRIVATE pthread)
    else()
        target_link_libraries(${name} PRIVATE norma::pthread)
    endif()
endfunction()
