# Installs the headers and what find_package(sdlora) reads.
include(CMakePackageConfigHelpers)
set(sdlora_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/sdlora")

file(GLOB_RECURSE sdlora_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/sdlora/*.hpp"
     "${PROJECT_SOURCE_DIR}/include/sdlora/*.cuh")
target_sources(sdlora_scan INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${sdlora_headers})
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(TARGET sdlora_program)
  install(TARGETS sdlora_program RUNTIME OPTIONAL)  # where it was built
endif()
install(TARGETS sdlora sdlora_scan EXPORT sdloraTargets FILE_SET HEADERS)
install(EXPORT sdloraTargets NAMESPACE sdlora:: DESTINATION "${sdlora_package_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/sdloraConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/sdloraConfig.cmake" INSTALL_DESTINATION "${sdlora_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/sdloraConfigVersion.cmake" COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/sdloraConfig.cmake" "${PROJECT_BINARY_DIR}/sdloraConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/dependencies.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/optional.cmake" DESTINATION "${sdlora_package_dir}")
