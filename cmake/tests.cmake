# ph_add_test(NAME SOURCES a.c ... [LIBS targets...] [LABEL unit|component|lint])
#
# One cmocka program; prints TAP so that dev/test can count cases and not programs.
function(ph_add_test name)
	cmake_parse_arguments(TEST "" "LABEL" "SOURCES;LIBS" ${ARGN})
	if(NOT TEST_LABEL)
		set(TEST_LABEL unit)
	endif()
	add_executable(${name} ${TEST_SOURCES})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
	target_link_libraries(${name} PRIVATE ${TEST_LIBS} ${CMOCKA_LIBRARY} ph_flags)
	target_compile_definitions(${name} PRIVATE
		PH_SOURCE_DIR="${CMAKE_SOURCE_DIR}" PH_BINARY_DIR="${CMAKE_BINARY_DIR}")
	add_test(NAME ${name} COMMAND ${name})
	set_tests_properties(${name} PROPERTIES
		LABELS ${TEST_LABEL} TIMEOUT 400 ENVIRONMENT "CMOCKA_MESSAGE_OUTPUT=TAP")
endfunction()
