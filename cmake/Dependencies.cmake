# Foreign libraries; docs/dependencies.md says in one line what each is for. Each sits behind one file.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(dep uv:libuv xxhash:libxxhash yaml:yaml-0.1 deflate:libdeflate zstd:libzstd>=1.5.1 lz4:liblz4
        protobufc:libprotobuf-c rdkafka:rdkafka hiredis:hiredis yajl:yajl jansson:jansson
        curl:libcurl nghttp2:libnghttp2 cmocka:cmocka)
    string(REPLACE ":" ";" dep ${dep})
    list(GET dep 0 name)
    list(GET dep 1 module)
    pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
endforeach()

# LMDB and xxHash have no CMake package on Debian 12; LMDB's .pc is missing on some.
find_path(LMDB_INCLUDE lmdb.h REQUIRED)
find_library(LMDB_LIBRARY lmdb REQUIRED)
add_library(lmdb INTERFACE)
target_include_directories(lmdb SYSTEM INTERFACE ${LMDB_INCLUDE})
target_link_libraries(lmdb INTERFACE ${LMDB_LIBRARY})

# llhttp: a library where the distribution has one, else the generated sources of node-llhttp.
pkg_check_modules(LLHTTP IMPORTED_TARGET GLOBAL libllhttp)
if(TARGET PkgConfig::LLHTTP)
    add_library(llhttp ALIAS PkgConfig::LLHTTP)
else()
    find_path(LLHTTP_SOURCES llhttp.c PATHS /usr/share/llhttp REQUIRED NO_DEFAULT_PATH)
    find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp REQUIRED NO_DEFAULT_PATH)
    add_library(llhttp STATIC ${LLHTTP_SOURCES}/llhttp.c ${LLHTTP_SOURCES}/api.c
        ${LLHTTP_SOURCES}/http.c)
    target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE})
endif()

# Control messages (the record's header) by protobuf-c; it never sees bytes that were not CRC-checked.
find_program(PROTOC_C protoc-c REQUIRED)
# hearth_proto(TARGET FILE [DIR]): DIR is proto/ unless given.
function(hearth_proto target proto)
    get_filename_component(name ${proto} NAME_WE)
    set(from ${CMAKE_SOURCE_DIR}/proto ${ARGN})
    list(GET from -1 from)
    set(dir ${CMAKE_BINARY_DIR}/proto/${target})
    file(MAKE_DIRECTORY ${dir})
    add_custom_command(
        OUTPUT ${dir}/${name}.pb-c.c ${dir}/${name}.pb-c.h
        COMMAND ${PROTOC_C} --c_out=${dir} -I ${from} ${from}/${proto}
        DEPENDS ${from}/${proto})
    add_library(${target} STATIC ${dir}/${name}.pb-c.c)
    target_include_directories(${target} SYSTEM PUBLIC ${dir})
    target_link_libraries(${target} PUBLIC PkgConfig::protobufc)
endfunction()
hearth_proto(record_proto record.proto)
