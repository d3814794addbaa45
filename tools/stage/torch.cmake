# libtorch as the target ptrain_torch: the system's, or the one in the folder PTRAIN_TORCH, which
# is that of a PyTorch package (site-packages/torch) or of an unpacked libtorch archive.
# recipes/build.sh --torch finds it.
#
# Another libtorch than the system's is not looked for by its own TorchConfig.cmake: that asks for
# nvcc and the rest of the CUDA toolkit, though ptrain has no CUDA source, and where the system has
# a libtorch, too, it takes the headers from one and the library from the other. Here both come from
# one folder, or nothing is built.
#
# Sets torch_library_dir and, for another libtorch, CMAKE_INSTALL_RPATH. Links the OpenMP runtime that
# libtorch itself brings, if any: two in one process would be two sets of threads on the same cores.

set(PTRAIN_TORCH "" CACHE PATH "Folder of another libtorch than the system's: include/ and lib/")
set(PTRAIN_TORCH_OLDEST 2.7)

set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # the tests, in their own folder, link them too
find_package(OpenMP REQUIRED COMPONENTS CXX)
add_library(ptrain_torch INTERFACE)
add_library(ptrain_openmp INTERFACE)

# ptrain_torch_refuse(WHAT REMEDY): indented, so that CMake leaves the lines as they are.
function(ptrain_torch_refuse what remedy)
  message(FATAL_ERROR " ${what}\n ${remedy}")
endfunction()

# ptrain_torch_header_version(FOLDER RESULT): what its headers say, or nothing.
function(ptrain_torch_header_version folder result)
  set(version "")
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(NOT version AND EXISTS ${folder}/include/${header})
      file(STRINGS ${folder}/include/${header} lines REGEX "#define +TORCH_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
      string(REGEX REPLACE "[^;0-9]*([0-9]+)[^;0-9]*" "\\1" numbers "${lines}")
      string(REPLACE ";" "." version "${numbers}")
    endif()
  endforeach()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

# ptrain_torch_package_version(FOLDER RESULT): what came with the library, or nothing.
function(ptrain_torch_package_version folder result)
  set(version "")
  foreach(file build-version version.py)
    if(NOT version AND EXISTS ${folder}/${file})
      file(STRINGS ${folder}/${file} lines REGEX "^(__version__ = ')?[0-9]+\\.[0-9]+\\.[0-9]+")
      if(lines MATCHES "([0-9]+\\.[0-9]+\\.[0-9]+)")
        set(version ${CMAKE_MATCH_1})
      endif()
    endif()
  endforeach()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

function(ptrain_torch_from folder)
  set(remedy "PTRAIN_TORCH is the folder of a PyTorch package (recipes/build.sh --torch PYTHON finds it) or of an unpacked libtorch archive, ${PTRAIN_TORCH_OLDEST} or newer.")
  foreach(part include/ATen/ATen.h lib/libtorch.so lib/libtorch_cpu.so lib/libc10.so)
    if(NOT EXISTS ${folder}/${part})
      ptrain_torch_refuse("PTRAIN_TORCH=${folder}: there is no ${part} in it." "${remedy}")
    endif()
  endforeach()
  ptrain_torch_header_version(${folder} headers)
  ptrain_torch_package_version(${folder} library)
  if(NOT headers)
    ptrain_torch_refuse("PTRAIN_TORCH=${folder}: its headers do not say which release they are." "${remedy}")
  elseif(headers VERSION_LESS PTRAIN_TORCH_OLDEST)
    ptrain_torch_refuse("PTRAIN_TORCH=${folder} is libtorch ${headers}." "${remedy}")
  elseif(library AND NOT library VERSION_EQUAL headers)
    ptrain_torch_refuse("PTRAIN_TORCH=${folder}: its headers are of ${headers}, its library is of ${library}."
      "Two releases were mixed in this folder: install it anew.")
  endif()
  # The names of the newer ABI of libstdc++, which everything else here is compiled for.
  file(STRINGS ${folder}/lib/libc10.so names REGEX "__cxx11" LIMIT_COUNT 1)
  if(NOT names)
    ptrain_torch_refuse("PTRAIN_TORCH=${folder}: its library has the old ABI of libstdc++ (before cxx11)."
      "Take the archive or the package of the cxx11 ABI, as all are since 2.7.")
  endif()

  set(libraries ${folder}/lib/libtorch.so ${folder}/lib/libtorch_cpu.so ${folder}/lib/libc10.so)
  set(devices cpu)
  foreach(accelerator cuda hip)
    if(EXISTS ${folder}/lib/libtorch_${accelerator}.so)
      # No symbol of it is used by name: it registers itself when it is loaded.
      list(APPEND libraries -Wl,--push-state,--no-as-needed ${folder}/lib/libtorch_${accelerator}.so
        ${folder}/lib/libc10_${accelerator}.so -Wl,--pop-state)
      list(APPEND devices ${accelerator})
    endif()
  endforeach()
  # A library's own libraries, some of which lie in other packages, are found when it is loaded.
  target_link_options(ptrain_torch INTERFACE LINKER:--allow-shlib-undefined)
  target_include_directories(ptrain_torch SYSTEM INTERFACE
    ${folder}/include ${folder}/include/torch/csrc/api/include)
  target_link_libraries(ptrain_torch INTERFACE ${libraries})

  file(GLOB runtimes ${folder}/lib/libgomp*.so* ${folder}/lib/libomp.so ${folder}/lib/libiomp5.so
    ${folder}/../torch.libs/libgomp*.so*)
  if(runtimes)
    list(GET runtimes 0 runtime)
    target_compile_options(ptrain_openmp INTERFACE ${OpenMP_CXX_FLAGS})
    target_link_libraries(ptrain_openmp INTERFACE ${runtime})
  else()
    target_link_libraries(ptrain_openmp INTERFACE OpenMP::OpenMP_CXX)
  endif()
  message(STATUS "libtorch ${headers} (${devices}): ${folder}")
  set(torch_library_dir ${folder}/lib PARENT_SCOPE)
endfunction()

if(PTRAIN_TORCH)
  get_filename_component(torch_folder ${PTRAIN_TORCH} REALPATH BASE_DIR ${CMAKE_BINARY_DIR})
  ptrain_torch_from(${torch_folder})
  # INSTALL_RPATH_USE_LINK_PATH passes over folders in the source tree, such as a virtual environment
  # there: an installed program would then take the system's libtorch, of another release.
  set(CMAKE_INSTALL_RPATH ${torch_library_dir})
else()
  find_package(Torch REQUIRED)
  get_filename_component(torch_library_dir ${TORCH_LIBRARY} DIRECTORY)
  string(FIND ${torch_library_dir}/ ${TORCH_INSTALL_PREFIX}/ at)
  if(NOT at EQUAL 0)
    ptrain_torch_refuse("The headers of libtorch are in ${TORCH_INSTALL_PREFIX}, its library in ${torch_library_dir}: two releases."
      "For another libtorch than the system's: ./recipes/build.sh --torch PYTHON-OR-FOLDER")
  endif()
  target_include_directories(ptrain_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  target_link_libraries(ptrain_torch INTERFACE ${TORCH_LIBRARIES})
  target_link_libraries(ptrain_openmp INTERFACE OpenMP::OpenMP_CXX)
endif()
