#ifndef POWERCUT_H
#define POWERCUT_H

#include <stdint.h>

typedef struct disk disk;

int powercut_register(void);
disk *powercut_disk(const char *dir, uint64_t seed);
void powercut_spread(disk *d, int of256);
void powercut_lie(disk *d);
void powercut_cut(disk *d);
void powercut_cut_at(disk *d, long long operation);
void powercut_full_at(disk *d, long long operation);
int powercut_restore(disk *d);
void powercut_free(disk *d);
long long powercut_operations(disk *d);
long long powercut_unsynced(disk *d);
long long powercut_lost(disk *d);
int powercut_is_cut(disk *d);

#endif
