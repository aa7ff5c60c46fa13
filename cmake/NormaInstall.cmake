# SPDX-License-Identifier: BSD-3-Clause
# Install rules: programs, library, public headers, and the two ways others find them. Everything that is installed
# finds its neighbours relative to itself, so the tree may be moved.
include(CMakePackageConfigHelpers)

get_property(norma_programs GLOBAL PROPERTY NORMA_PROGRAMS)
if(norma_programs)
    install(TARGETS ${norma_programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(TARGETS norma EXPORT norma LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS norma_program norma_whole_program norma_pthread norma_pthread_relink EXPORT norma
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS norma_one_sided LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET norma_pmix)
    install(TARGETS norma_pmix LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY include/norma DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp"
    PATTERN "*.m4")
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(norma_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/norma)
install(EXPORT norma NAMESPACE norma:: DESTINATION ${norma_cmake_dir} FILE normaTargets.cmake)
configure_package_config_file(cmake/normaConfig.cmake.in ${CMAKE_BINARY_DIR}/cmake/normaConfig.cmake
    INSTALL_DESTINATION ${norma_cmake_dir} PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cmake/normaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cmake/normaConfig.cmake ${CMAKE_BINARY_DIR}/cmake/normaConfigVersion.cmake
    cmake/NormaParmacs.cmake DESTINATION ${norma_cmake_dir})

# From lib/pkgconfig back to the prefix, however deep the library folder is.
file(RELATIVE_PATH norma_pc_to_prefix "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" norma_pc_to_prefix "${norma_pc_to_prefix}")
configure_file(cmake/norma.pc.in ${CMAKE_BINARY_DIR}/cmake/norma.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/cmake/norma.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
