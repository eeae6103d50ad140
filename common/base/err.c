#include "base/err.h"
#include <errno.h>

static const char *const texts[ERR_COUNT] = {
#define ERR_ROW(name, text) [name] = text,
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

static const char *const names[ERR_COUNT] = {
#define ERR_ROW(name, text) [name] = #name,
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

const char *err_text(enum err err)
{
    return (unsigned)err < ERR_COUNT ? texts[err] : "unknown error";
}

const char *err_name(enum err err)
{
    return (unsigned)err < ERR_COUNT ? names[err] + sizeof("ERR_") - 1 : "UNKNOWN";
}

enum err err_from_errno(int number)
{
    switch (number) {
    case 0:
        return ERR_OK;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EMFILE:
    case ENFILE:
        return ERR_TOO_MANY;
    case EBUSY:
    case EADDRINUSE:
        return ERR_BUSY;
    case ECONNREFUSED:
        return ERR_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return ERR_CLOSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
        return ERR_UNREACHABLE;
    case ETIMEDOUT:
        return ERR_TIMED_OUT;
    case EINVAL:
    case ENAMETOOLONG:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}
