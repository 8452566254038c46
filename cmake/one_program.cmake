# mnemo_one_program(PROGRAM BASE SOURCE...): many sources that have a main each become one program, as linking a program
# for each takes longer than compiling them. PROGRAM NAME runs the main of BASE/NAME.c.
set(MNEMO_ONE_PROGRAM ${CMAKE_CURRENT_LIST_DIR}/one_program.c)
function(mnemo_one_program program base)
  set(mains "")
  foreach(source ${ARGN})
    file(RELATIVE_PATH name ${base} ${source})
    string(REGEX REPLACE "\\.c$" "" name ${name})
    string(MAKE_C_IDENTIFIER ${name} main)
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -Dmain=${main} -Wno-missing-prototypes)
    string(APPEND mains "MAIN(\"${name}\", ${main})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${program}.h CONTENT "${mains}" @ONLY)
  add_executable(${program} ${ARGN} ${MNEMO_ONE_PROGRAM})
  set_property(SOURCE ${MNEMO_ONE_PROGRAM} PROPERTY COMPILE_DEFINITIONS
               "MAINS=\"${CMAKE_CURRENT_BINARY_DIR}/${program}.h\"")
endfunction()
