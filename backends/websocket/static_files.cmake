# Puts the files of backends/websocket/page into the program: a source file that the assembler fills with them
# (.incbin), and a table of their names. It is compiled again when one of them changes, comes or goes.
file(GLOB_RECURSE page_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_LIST_DIR}/page
  ${CMAKE_CURRENT_LIST_DIR}/page/*.html ${CMAKE_CURRENT_LIST_DIR}/page/*.css ${CMAKE_CURRENT_LIST_DIR}/page/*.js
  ${CMAKE_CURRENT_LIST_DIR}/page/*.svg ${CMAKE_CURRENT_LIST_DIR}/page/*.png ${CMAKE_CURRENT_LIST_DIR}/page/*.ico
  ${CMAKE_CURRENT_LIST_DIR}/page/*.webmanifest)
list(SORT page_files)

set(page_symbols "")
set(page_table "")
set(page_paths "")
set(page_number 0)
foreach(page_file ${page_files})
  set(page_path ${CMAKE_CURRENT_LIST_DIR}/page/${page_file})
  list(APPEND page_paths ${page_path})
  string(APPEND page_symbols "EMBED(${page_number}, \"${page_path}\")\n")
  string(APPEND page_table "    {\"/${page_file}\", {page_${page_number}, page_${page_number}_end}},\n")
  math(EXPR page_number "${page_number} + 1")
endforeach()

configure_file(${CMAKE_CURRENT_LIST_DIR}/page_files.cpp.in ${CMAKE_BINARY_DIR}/generated/page_files.cpp @ONLY)
set_source_files_properties(${CMAKE_BINARY_DIR}/generated/page_files.cpp PROPERTIES OBJECT_DEPENDS "${page_paths}")
target_sources(nbdring_backends PRIVATE ${CMAKE_BINARY_DIR}/generated/page_files.cpp)
