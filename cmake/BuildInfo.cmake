# SPDX-License-Identifier: BSD-3-Clause
# Run at build time (cmake -P): writes OUTPUT from INPUT, but only when the commit has changed since.
# A tree without git (a release archive) has no commit to name.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
    WORKING_DIRECTORY ${SOURCE_DIR} OUTPUT_VARIABLE NORMA_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT NORMA_COMMIT)
    set(NORMA_COMMIT unknown)
endif()
configure_file(${INPUT} ${OUTPUT} @ONLY)
