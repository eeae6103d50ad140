#include "base/planted.h"

#ifdef OTTLA_PLANTED
const char *planted_bug;
#endif
