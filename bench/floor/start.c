/* Starts a CGI program several times and prints the cost of each start: start TIMES BODY_FILE PROGRAM
 *
 * One line per start: microseconds until the first byte of the answer, microseconds of processor time (user and system), minor and
 * major page faults, peak memory in KiB. In C, because a new process first shares the memory of its parent. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static double spent(struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 + usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

static void start(const char *body, char *program)
{
    int answer[2], status;
    char buffer[65536];
    struct rusage usage;

    if (pipe2(answer, O_CLOEXEC))
        exit(2);
    double begun = microseconds();
    pid_t child = vfork();
    if (child == 0) {
        int in = open(body, O_RDONLY);
        dup2(in, 0);
        dup2(answer[1], 1);
        close(in);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(answer[1]);
    long bytes = read(answer[0], buffer, sizeof buffer);
    double first = microseconds() - begun;
    while (read(answer[0], buffer, sizeof buffer) > 0)
        ;
    close(answer[0]);
    wait4(child, &status, 0, &usage);
    if (bytes <= 0 || status)
        exit(3);
    printf("%.0f\t%.0f\t%ld\t%ld\t%ld\n", first, spent(&usage), usage.ru_minflt, usage.ru_majflt, usage.ru_maxrss);
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    for (int times = atoi(arguments[1]); times > 0; times--)
        start(arguments[2], arguments[3]);
    return 0;
}
