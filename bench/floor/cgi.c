/* The minimum cost of plain CGI: a C program that only answers, under the same fcgiwrap as ours. */
#include <unistd.h>

int main(void)
{
    static const char answer[] = "Content-Type: text/plain\r\n\r\nok\n";
    return write(1, answer, sizeof answer - 1) < 0;
}
