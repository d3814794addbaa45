# Toolchain: builds for arm64 on another machine, with Debian's cross compiler, against the arm64
# packages of Debian that lie extracted in PTRAIN_SYSROOT (tests/arm64.sh makes that). Programs of
# the build itself, such as capnp, are this machine's; tests run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PTRAIN_SYSROOT)
set(CMAKE_SYSROOT ${PTRAIN_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${PTRAIN_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
  ${PTRAIN_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${PTRAIN_SYSROOT}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${PTRAIN_SYSROOT})
