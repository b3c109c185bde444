# Debian packages, each named with its reason in docs/dependencies.md.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(LXC REQUIRED IMPORTED_TARGET lxc)
pkg_check_modules(APPARMOR REQUIRED IMPORTED_TARGET libapparmor)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
find_program(PROTOC_C protoc-c REQUIRED)

# The static agent's libraries: Debian ships these archives in the -dev packages.
find_library(LIBUV_ARCHIVE NAMES libuv_a.a libuv.a REQUIRED)
find_library(PROTOBUF_C_ARCHIVE NAMES libprotobuf-c.a REQUIRED)
find_library(JANSSON_ARCHIVE NAMES libjansson.a REQUIRED)
find_library(SODIUM_ARCHIVE NAMES libsodium.a REQUIRED)
find_library(CMOCKA_LIBRARY NAMES cmocka REQUIRED)
