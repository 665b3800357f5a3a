# hearth_module(NAME DIR DEPS…): a static library of every .c in DIR and its folders but main.c.
function(hearth_module name dir)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    if(sources)
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PRIVATE hearth_flags PUBLIC ${ARGN} Threads::Threads m)
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${ARGN})
    endif()
endfunction()

# hearth_program(NAME MODULES…): MODULE's directory has the main.c.
function(hearth_program name module)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${module}/main.c)
        add_executable(${name} ${CMAKE_SOURCE_DIR}/${module}/main.c)
        target_link_libraries(${name} PRIVATE hearth_flags ${module} ${ARGN})
    endif()
endfunction()

# The web page as bytes in the program: web/embed.cmake defines the target; without a built page a
# stub that says how to build it.
if(EXISTS ${CMAKE_SOURCE_DIR}/web/embed.cmake)
    include(${CMAKE_SOURCE_DIR}/web/embed.cmake)
else()
    add_library(web INTERFACE)
endif()
