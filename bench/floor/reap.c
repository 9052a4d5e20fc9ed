/* For LD_PRELOAD in fcgiwrap. It ignores the end of the programs that it starts, so the kernel does not record their time. With this
 * library it waits for each program before it starts the next, which adds the time to its own /proc/PID/stat. The programs themselves
 * do not load it. It installs no signal handler, as that would interrupt fcgiwrap's select. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

sighandler_t signal(int number, sighandler_t handler)
{
    sighandler_t (*original)(int, sighandler_t) = (sighandler_t(*)(int, sighandler_t))dlsym(RTLD_NEXT, "signal");
    return original(number, number == SIGCHLD ? SIG_DFL : handler);
}

pid_t fork(void)
{
    pid_t (*original)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return original();
}

__attribute__((constructor)) static void leave(void)
{
    unsetenv("LD_PRELOAD");
}
