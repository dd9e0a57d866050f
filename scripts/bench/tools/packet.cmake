# bench-packet: nanoseconds a packet. Its wrapper program is compiled exactly as the data plane is.
get_directory_property(bench_bpf_flags DIRECTORY ${PROJECT_SOURCE_DIR}/bpf DEFINITION BPF_FLAGS)
set(wrapper_source ${CMAKE_CURRENT_LIST_DIR}/wrapper.bpf.c)
set(wrapper_object ${CMAKE_CURRENT_BINARY_DIR}/wrapper.bpf.o)
set(wrapper_skeleton ${CMAKE_CURRENT_BINARY_DIR}/skeleton/wrapper.skel.h)
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/skeleton)
add_custom_command(
  OUTPUT ${wrapper_object}
  COMMAND ${BPF_CLANG} ${bench_bpf_flags} -MD -MF ${wrapper_object}.d -c ${wrapper_source} -o ${wrapper_object}
  DEPENDS ${wrapper_source} DEPFILE ${wrapper_object}.d COMMENT "BPF bench wrapper" VERBATIM)
add_custom_command(
  OUTPUT ${wrapper_skeleton}
  COMMAND ${BPFTOOL} gen skeleton ${wrapper_object} name wrapper_bpf > ${wrapper_skeleton}
  DEPENDS ${wrapper_object} VERBATIM)
add_custom_target(bench_wrapper_skeleton DEPENDS ${wrapper_skeleton})

add_executable(bench-packet packet.cc packet_balancer.cc packet_bench.cc packet_frame.cc packet_report.cc packet_run.cc
  packet_scenarios.cc)
target_include_directories(bench-packet SYSTEM PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/skeleton)
add_dependencies(bench-packet bench_wrapper_skeleton)
target_link_libraries(bench-packet PRIVATE sluice_apply sluice_kernel sluice_model PkgConfig::libbpf CLI11::CLI11
  nlohmann_json::nlohmann_json)
add_dependencies(bench-tools bench-packet)
