#ifndef POWERCUT_DISK_H
#define POWERCUT_DISK_H

#include <pthread.h>

#include "powercut.h"
#include "sqlite.h"

enum { SECTOR = 512 };

// node is one file as SQLite sees it.
typedef struct node node;
struct node {
	node *next;
	disk *disk;
	char *path;
	int fd;    // of the file on the disk; closed last, for closing takes SQLite's locks away
	int refs;  // open handles
	int gone;  // deleted, and its directory is not synced
	int fresh; // made, and its directory is not synced
	int reborn; // made where one is gone: a cut leaves the old file or the new one
	int resized;
	sqlite3_int64 size; // if resized
	int shrunk;
	sqlite3_int64 base; // if shrunk: what is left of the file on the disk
	unsigned char **sectors; // not synced; by number
	sqlite3_int64 count;     // of that array
};

struct disk {
	disk *next;
	char *dir; // "": all that no other disk has
	node *nodes;
	uint64_t random;
	int spread; // of 256 writes, how many have something written early
	int lies; // syncs do nothing
	int dead;
	long long operations, cut_at, full_at, lost;
};

extern pthread_mutex_t powercut_mutex; // everything here is used under it

disk *disk_of(const char *path);
node *disk_find(disk *d, const char *path);
node *disk_node(disk *d, const char *path);
void disk_sync_dir(disk *d, const char *path);
int disk_step(disk *d);
void disk_spread(node *n);

int node_open(node *n);
sqlite3_int64 node_size(node *n);
int node_read(node *n, unsigned char *to, int len, sqlite3_int64 at);
int node_write(node *n, const unsigned char *data, int len, sqlite3_int64 at);
void node_truncate(node *n, sqlite3_int64 size);
int node_sync(node *n, int dataonly);

#endif
