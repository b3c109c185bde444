# One INTERFACE target carries the language, the warnings and the sanitizers; ph_flags_static is the
# same without sanitizers, for what ends up in the static agent (a sanitizer run-time is dynamic). A target
# with the property PH_SMALL is optimised for size: the agent's pages are counted in every container.
add_library(ph_flags_static INTERFACE)
target_compile_features(ph_flags_static INTERFACE c_std_17)
target_include_directories(ph_flags_static INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_definitions(ph_flags_static INTERFACE
	_GNU_SOURCE PH_VERSION="${PROJECT_VERSION}" $<$<BOOL:${PH_FAULTS}>:PH_FAULTS=1>)
target_compile_options(ph_flags_static INTERFACE
	-std=gnu17 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
	-Wwrite-strings -Wvla -Wformat=2 -Wno-format-nonliteral -Wno-unused-parameter
	-Wno-missing-field-initializers -fno-common -fno-strict-aliasing
	-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.
	$<$<BOOL:${PH_WERROR}>:-Werror>)
if(PH_HARDEN)
	target_compile_options(ph_flags_static INTERFACE
		$<IF:$<BOOL:$<TARGET_PROPERTY:PH_SMALL>>,-Os,-O2> -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
		-fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero
		-ffunction-sections -fdata-sections)
	target_link_options(ph_flags_static INTERFACE
		-Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections,--as-needed)
endif()

add_library(ph_flags INTERFACE)
target_link_libraries(ph_flags INTERFACE ph_flags_static)
target_compile_options(ph_flags INTERFACE -fPIE)
target_link_options(ph_flags INTERFACE -pie)
if(PH_SANITIZE)
	target_compile_options(ph_flags INTERFACE
		-fsanitize=${PH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
	string(REPLACE "fuzzer-no-link," "" PH_SANITIZE_LINK "${PH_SANITIZE}")
	target_link_options(ph_flags INTERFACE -fsanitize=${PH_SANITIZE_LINK})
endif()
