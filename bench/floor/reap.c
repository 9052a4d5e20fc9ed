/* For LD_PRELOAD below fcgiwrap: it ignores the end of the programs that it starts, and the kernel then forgets what they cost. With
 * this it waits for the last one before it starts the next, so that their time is in its own /proc/PID/stat. The programs themselves
 * do not get it. No handler for the signal: that would interrupt fcgiwrap's select. */
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
