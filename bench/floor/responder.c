/* The minimum cost of FastCGI: libfcgi's own loop, behind the same nginx as ours. It reads the body, as every program must. */
#include <fcgiapp.h>

int main(void)
{
    static char body[65536];
    FCGX_Stream *in, *out, *err;
    FCGX_ParamArray environment;

    while (FCGX_Accept(&in, &out, &err, &environment) >= 0) {
        while (FCGX_GetStr(body, sizeof body, in) > 0)
            ;
        FCGX_FPrintF(out, "Content-Type: text/plain\r\n\r\nok\n");
    }
    return 0;
}
