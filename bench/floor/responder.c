/* The minimum cost of FastCGI: libfcgi's own loop, behind the same nginx as ours. It reads the body, as every program must.
 * It serves one connection at a time, so it is started as many times as the web server keeps connections: responder PROCESSES */
#include <fcgiapp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    static char body[65536];
    FCGX_Stream *in, *out, *err;
    FCGX_ParamArray environment;

    for (int others = count > 1 ? atoi(arguments[1]) - 1 : 0; others > 0; others--)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        }
    while (FCGX_Accept(&in, &out, &err, &environment) >= 0) {
        while (FCGX_GetStr(body, sizeof body, in) > 0)
            ;
        FCGX_FPrintF(out, "Content-Type: text/plain\r\n\r\nok\n");
    }
    return 0;
}
