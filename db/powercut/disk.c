// The disk: what SQLite wrote and did not sync is kept in memory, by sectors,
// and reaches the file at the sync. Whatever ends the process is a power cut.

#define _GNU_SOURCE
#include "disk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

pthread_mutex_t powercut_mutex = PTHREAD_MUTEX_INITIALIZER;
static disk *disks;

// rnd is splitmix64.
static uint64_t rnd(disk *d) {
	uint64_t z = d->random += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

// --- one file ---

static sqlite3_int64 on_disk(node *n) {
	struct stat s;
	return n->fd >= 0 && fstat(n->fd, &s) == 0 ? s.st_size : 0;
}

// visible is how much of the file on the disk is still part of it.
static sqlite3_int64 visible(node *n) {
	sqlite3_int64 size = on_disk(n);
	return n->shrunk && n->base < size ? n->base : size;
}

sqlite3_int64 node_size(node *n) { return n->resized ? n->size : on_disk(n); }

static void read_clean(node *n, unsigned char *to, int len, sqlite3_int64 at) {
	sqlite3_int64 end = visible(n);
	int have = 0;
	while (have < len && at + have < end) {
		sqlite3_int64 want = end - (at + have) < len - have ? end - (at + have) : len - have;
		ssize_t got = pread(n->fd, to + have, want, at + have);
		if (got <= 0) break;
		have += got;
	}
	memset(to + have, 0, len - have);
}

// dirty returns a sector to be changed in memory.
static unsigned char *dirty(node *n, sqlite3_int64 i) {
	if (i >= n->count) {
		sqlite3_int64 count = i + 64;
		unsigned char **more = realloc(n->sectors, count * sizeof *more);
		if (!more) return NULL;
		memset(more + n->count, 0, (count - n->count) * sizeof *more);
		n->sectors = more;
		n->count = count;
	}
	if (!n->sectors[i] && (n->sectors[i] = malloc(SECTOR))) read_clean(n, n->sectors[i], SECTOR, i * SECTOR);
	return n->sectors[i];
}

int node_read(node *n, unsigned char *to, int len, sqlite3_int64 at) {
	sqlite3_int64 size = node_size(n);
	read_clean(n, to, len, at);
	for (sqlite3_int64 i = at / SECTOR; i < n->count && i * SECTOR < at + len; i++) {
		if (!n->sectors[i]) continue;
		sqlite3_int64 from = i * SECTOR > at ? i * SECTOR : at;
		sqlite3_int64 end = (i + 1) * SECTOR < at + len ? (i + 1) * SECTOR : at + len;
		memcpy(to + (from - at), n->sectors[i] + (from - i * SECTOR), end - from);
	}
	if (at + len <= size) return SQLITE_OK;
	sqlite3_int64 have = size > at ? size - at : 0;
	memset(to + have, 0, len - have);
	return SQLITE_IOERR_SHORT_READ;
}

int node_write(node *n, const unsigned char *data, int len, sqlite3_int64 at) {
	for (sqlite3_int64 i = at / SECTOR; i * SECTOR < at + len; i++) {
		unsigned char *s = dirty(n, i);
		if (!s) return SQLITE_IOERR_NOMEM;
		sqlite3_int64 from = i * SECTOR > at ? i * SECTOR : at;
		sqlite3_int64 end = (i + 1) * SECTOR < at + len ? (i + 1) * SECTOR : at + len;
		memcpy(s + (from - i * SECTOR), data + (from - at), end - from);
	}
	if (at + len > node_size(n)) n->size = at + len, n->resized = 1;
	return SQLITE_OK;
}

void node_truncate(node *n, sqlite3_int64 size) {
	if (size < visible(n)) n->base = size, n->shrunk = 1;
	for (sqlite3_int64 i = size / SECTOR; i < n->count; i++) {
		if (!n->sectors[i]) continue;
		if (i * SECTOR >= size) {
			free(n->sectors[i]);
			n->sectors[i] = NULL;
		} else {
			memset(n->sectors[i] + (size - i * SECTOR), 0, SECTOR - (size - i * SECTOR));
		}
	}
	n->size = size, n->resized = 1;
}

static void forget(node *n) {
	for (sqlite3_int64 i = 0; i < n->count; i++) free(n->sectors[i]);
	free(n->sectors);
	n->sectors = NULL, n->count = 0;
	n->resized = n->shrunk = n->reborn = 0;
}

// put writes one sector to the disk.
static int put(node *n, sqlite3_int64 i) {
	sqlite3_int64 len = node_size(n) - i * SECTOR;
	if (len > SECTOR) len = SECTOR;
	return len <= 0 || pwrite(n->fd, n->sectors[i], len, i * SECTOR) == len ? 0 : -1;
}

// node_sync makes the file on the disk what it is in memory. A sync of the data
// alone may leave a file longer than it is: its length matters only where it grew.
int node_sync(node *n, int dataonly) {
	if (n->fd < 0) return -1;
	sqlite3_int64 size = node_size(n);
	int keep = dataonly && n->shrunk && size == n->base;
	if (n->shrunk && !keep && ftruncate(n->fd, n->base)) return -1;
	for (sqlite3_int64 i = 0; i < n->count; i++)
		if (n->sectors[i] && put(n, i)) return -1;
	if (size > on_disk(n) && ftruncate(n->fd, size)) return -1;
	sqlite3_int64 base = n->base;
	forget(n);
	if (keep) n->shrunk = n->resized = 1, n->base = n->size = base;
	return 0;
}

// --- the disk ---

// disk_of finds the disk that a path is on: that of its directory, or the one
// for all that no other has.
disk *disk_of(const char *path) {
	const char *slash = strrchr(path, '/');
	disk *rest = NULL;
	for (disk *d = disks; d; d = d->next) {
		size_t len = strlen(d->dir);
		if (!len) rest = d;
		else if (slash && (size_t)(slash - path) == len && !strncmp(path, d->dir, len)) return d;
	}
	return rest;
}

node *disk_find(disk *d, const char *path) {
	for (node *n = d->nodes; n; n = n->next)
		if (!strcmp(n->path, path)) return n;
	return NULL;
}

node *disk_node(disk *d, const char *path) {
	node *n = disk_find(d, path);
	if (n) return n;
	if (!(n = calloc(1, sizeof *n))) return NULL;
	n->path = strdup(path), n->fd = -1, n->disk = d;
	n->next = d->nodes, d->nodes = n;
	return n;
}

int node_open(node *n) {
	if (n->fd < 0) n->fd = open(n->path, O_RDWR | O_CLOEXEC);
	if (n->fd < 0) n->fd = open(n->path, O_RDONLY | O_CLOEXEC);
	return n->fd < 0 ? -1 : 0;
}

static void vanish(node *n) {
	forget(n);
	if (n->fd >= 0) close(n->fd);
	n->fd = -1, n->gone = 0;
	unlink(n->path);
}

static int same_dir(const char *a, const char *b) {
	size_t len = strrchr(a, '/') - a;
	return (size_t)(strrchr(b, '/') - b) == len && !strncmp(a, b, len);
}

// disk_sync_dir makes deletions in the directory of path durable.
void disk_sync_dir(disk *d, const char *path) {
	for (node *n = d->nodes; n; n = n->next)
		if (n->gone && same_dir(n->path, path)) vanish(n);
}

// cut_off lets a part of what was not synced reach the disk, in whatever
// order a disk may write, and nothing after that.
static void cut_off(disk *d) {
	static const int chances[] = {0, 0, 32, 128, 128, 224, 256, 256};
	int chance = chances[rnd(d) % 8];        // of a piece to reach the disk, of 256
	int piece = rnd(d) % 2 ? SECTOR : 4096;  // what the disk writes at once
	d->dead = 1, d->lost = 0;
#define REACHES ((int)(rnd(d) % 256) < chance)
	for (node *n = d->nodes; n; n = n->next) {
		if (n->fd < 0) continue;
		if (n->gone) {
			if (REACHES) vanish(n);
			else d->lost++;
			continue;
		}
		if (n->reborn) {
			if (!REACHES) {
				d->lost++;
				continue;
			}
			if (ftruncate(n->fd, 0)) abort();
		} else if (n->shrunk) {
			if (!REACHES) d->lost++;
			else if (ftruncate(n->fd, n->base)) abort();
		}
		if (n->resized && n->size > on_disk(n) && REACHES && ftruncate(n->fd, n->size)) abort();
		int reaches = 0;
		for (sqlite3_int64 i = 0; i < n->count; i++) {
			if (i * SECTOR % piece == 0) reaches = REACHES;
			if (!n->sectors[i]) continue;
			if (!reaches) d->lost++;
			else if (put(n, i)) abort();
		}
	}
#undef REACHES
}

// disk_step counts an operation and tells whether there is power after it.
int disk_step(disk *d) {
	if (d->dead) return 0;
	d->operations++;
	if (d->cut_at && d->operations >= d->cut_at) cut_off(d);
	return !d->dead;
}

// disk_spread writes now and then something early, as an operating system does.
void disk_spread(node *n) {
	disk *d = n->disk;
	if (!d->spread || !n->count || n->reborn || (int)(rnd(d) % 256) >= d->spread) return;
	for (int tries = 0; tries < 8; tries++) {
		sqlite3_int64 i = rnd(d) % n->count;
		if (n->sectors[i]) (void)put(n, i);
	}
}

static void clear(disk *d) {
	for (node *n = d->nodes, *next; n; n = next) {
		next = n->next;
		forget(n);
		if (n->fd >= 0) close(n->fd);
		free(n->path);
		free(n);
	}
	d->nodes = NULL;
}

disk *powercut_disk(const char *dir, uint64_t seed) {
	disk *d = calloc(1, sizeof *d);
	if (!d) return NULL;
	d->dir = strdup(dir), d->random = seed;
	pthread_mutex_lock(&powercut_mutex);
	d->next = disks, disks = d;
	pthread_mutex_unlock(&powercut_mutex);
	return d;
}

#define LOCKED(...) \
	pthread_mutex_lock(&powercut_mutex); \
	__VA_ARGS__; \
	pthread_mutex_unlock(&powercut_mutex)

void powercut_spread(disk *d, int of256) { LOCKED(d->spread = of256); }
void powercut_lie(disk *d) { LOCKED(d->lies = 1); }
void powercut_cut(disk *d) { LOCKED(if (!d->dead) cut_off(d)); }
void powercut_cut_at(disk *d, long long n) { LOCKED(d->cut_at = d->operations + n); }
void powercut_full_at(disk *d, long long n) { LOCKED(d->full_at = d->operations + n); }

// powercut_restore tells how many files are still open, which nothing is of
// that was written before a cut.
int powercut_restore(disk *d) {
	int open = 0;
	LOCKED({
		for (node *n = d->nodes; n; n = n->next) open += n->refs;
		if (!open) {
			if (!d->dead) cut_off(d);
			clear(d);
			d->dead = 0, d->cut_at = d->full_at = d->operations = 0;
		}
	});
	return open;
}

void powercut_free(disk *d) {
	LOCKED({
		disk **at = &disks;
		while (*at && *at != d) at = &(*at)->next;
		if (*at) *at = d->next;
		clear(d);
	});
	free(d->dir);
	free(d);
}

long long powercut_operations(disk *d) {
	long long n;
	LOCKED(n = d->operations);
	return n;
}

long long powercut_lost(disk *d) {
	long long n;
	LOCKED(n = d->lost);
	return n;
}

long long powercut_unsynced(disk *d) {
	long long count = 0;
	LOCKED(for (node *n = d->nodes; n; n = n->next) {
		count += n->gone || n->resized;
		for (sqlite3_int64 i = 0; i < n->count; i++) count += n->sectors[i] != NULL;
	});
	return count;
}

int powercut_is_cut(disk *d) {
	int dead;
	LOCKED(dead = d->dead);
	return dead;
}
