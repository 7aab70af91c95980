// The VFS: files are those of disk.c, locks and shared memory those of SQLite's
// own VFS "unix". The -shm file is left alone: it is made anew after a cut.

#include <stddef.h>

#include "disk.h"

static sqlite3_vfs *unix_vfs;

typedef struct {
	sqlite3_file base;
	node *node;
	// the file of the VFS "unix" follows
} handle;

enum { REAL = (sizeof(handle) + 15) / 16 * 16 };

static node *of(sqlite3_file *f) { return ((handle *)f)->node; }
static sqlite3_file *real(sqlite3_file *f) { return (sqlite3_file *)((char *)f + REAL); }

#define LOCK pthread_mutex_lock(&powercut_mutex)
#define UNLOCK pthread_mutex_unlock(&powercut_mutex)

static int cut_close(sqlite3_file *f) {
	LOCK;
	of(f)->refs--;
	UNLOCK;
	return real(f)->pMethods->xClose(real(f));
}

static int cut_read(sqlite3_file *f, void *to, int len, sqlite3_int64 at) {
	LOCK;
	int rc = of(f)->disk->dead ? SQLITE_IOERR_READ : node_read(of(f), to, len, at);
	UNLOCK;
	return rc;
}

static int cut_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at) {
	node *n = of(f);
	disk *d = n->disk;
	LOCK;
	int rc = SQLITE_IOERR_WRITE;
	if (d->full_at && d->operations + 1 >= d->full_at) {
		rc = SQLITE_FULL;
	} else if (!d->dead) {
		rc = node_write(n, data, len, at);
		if (rc == SQLITE_OK && !disk_step(d)) rc = SQLITE_IOERR_WRITE;
		if (rc == SQLITE_OK) disk_spread(n);
	}
	UNLOCK;
	return rc;
}

static int cut_truncate(sqlite3_file *f, sqlite3_int64 size) {
	LOCK;
	int rc = SQLITE_IOERR_TRUNCATE;
	if (!of(f)->disk->dead) {
		node_truncate(of(f), size);
		if (disk_step(of(f)->disk)) rc = SQLITE_OK;
	}
	UNLOCK;
	return rc;
}

static int cut_sync(sqlite3_file *f, int flags) {
	node *n = of(f);
	LOCK;
	int rc = SQLITE_IOERR_FSYNC;
	if (disk_step(n->disk) && (n->disk->lies || node_sync(n, flags & SQLITE_SYNC_DATAONLY) == 0)) {
		rc = SQLITE_OK;
		// unix syncs the directory too the first time that a journal or log
		// that it made is synced.
		if (n->fresh && !n->disk->lies) n->fresh = 0, disk_sync_dir(n->disk, n->path);
	}
	UNLOCK;
	return rc;
}

static int cut_size(sqlite3_file *f, sqlite3_int64 *size) {
	LOCK;
	*size = node_size(of(f));
	UNLOCK;
	return SQLITE_OK;
}

static int cut_lock(sqlite3_file *f, int l) { return real(f)->pMethods->xLock(real(f), l); }
static int cut_unlock(sqlite3_file *f, int l) { return real(f)->pMethods->xUnlock(real(f), l); }
static int cut_check(sqlite3_file *f, int *out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); }

static int cut_control(sqlite3_file *f, int op, void *arg) {
	switch (op) {
	case SQLITE_FCNTL_SIZE_HINT:
	case SQLITE_FCNTL_CHUNK_SIZE:
		return SQLITE_OK;
	case SQLITE_FCNTL_MMAP_SIZE:
		return SQLITE_NOTFOUND;
	}
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int cut_sector(sqlite3_file *f) { return real(f)->pMethods->xSectorSize(real(f)); }

static int cut_device(sqlite3_file *f) {
	return real(f)->pMethods->xDeviceCharacteristics(real(f)) & ~SQLITE_IOCAP_BATCH_ATOMIC;
}

static int cut_shm_map(sqlite3_file *f, int i, int size, int extend, void volatile **p) {
	return real(f)->pMethods->xShmMap(real(f), i, size, extend, p);
}
static int cut_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
	return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
}
static void cut_shm_barrier(sqlite3_file *f) { real(f)->pMethods->xShmBarrier(real(f)); }
static int cut_shm_unmap(sqlite3_file *f, int drop) { return real(f)->pMethods->xShmUnmap(real(f), drop); }

static const sqlite3_io_methods methods = {
	2, cut_close, cut_read, cut_write, cut_truncate, cut_sync, cut_size, cut_lock, cut_unlock, cut_check,
	cut_control, cut_sector, cut_device, cut_shm_map, cut_shm_lock, cut_shm_barrier, cut_shm_unmap,
};

static int cut_access(sqlite3_vfs *v, const char *path, int flags, int *out) {
	LOCK;
	disk *d = disk_of(path);
	node *n = d ? disk_find(d, path) : NULL;
	int known = n && (n->gone || (flags == SQLITE_ACCESS_EXISTS && n->fd >= 0));
	if (known) *out = !n->gone && node_size(n) > 0;
	UNLOCK;
	return known ? SQLITE_OK : unix_vfs->xAccess(unix_vfs, path, flags, out);
}

static int cut_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *out) {
	const int kept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
	f->pMethods = NULL;
	LOCK;
	disk *d = path && flags & kept ? disk_of(path) : NULL;
	UNLOCK;
	if (!d) return unix_vfs->xOpen(unix_vfs, path, f, flags, out); // a temporary file, or another disk
	LOCK;
	int rc = SQLITE_CANTOPEN;
	node *n = d->dead ? NULL : disk_node(d, path);
	if (n && (!n->gone || flags & SQLITE_OPEN_CREATE)) {
		int there = 0;
		unix_vfs->xAccess(unix_vfs, path, 1 << 1 /* readable, empty too */, &there);
		real(f)->pMethods = NULL;
		rc = unix_vfs->xOpen(unix_vfs, path, real(f), flags, out);
		if (rc == SQLITE_OK && node_open(n)) {
			real(f)->pMethods->xClose(real(f));
			rc = SQLITE_CANTOPEN;
		}
		if (rc == SQLITE_OK) {
			if ((!there || n->gone) && !(flags & SQLITE_OPEN_MAIN_DB)) n->fresh = 1;
			if (n->gone) n->reborn = 1, n->gone = 0;
			n->refs++;
			((handle *)f)->node = n;
			f->pMethods = &methods;
		}
	}
	UNLOCK;
	return rc;
}

static int cut_delete(sqlite3_vfs *v, const char *path, int sync_dir) {
	LOCK;
	disk *d = disk_of(path);
	if (!d) {
		UNLOCK;
		return unix_vfs->xDelete(unix_vfs, path, sync_dir);
	}
	int rc = SQLITE_IOERR_DELETE;
	node *n = d->dead ? NULL : disk_node(d, path);
	if (n && (n->gone || node_open(n))) {
		rc = SQLITE_IOERR_DELETE_NOENT;
	} else if (n) {
		// Until the directory is synced the old file may come back, so it stays.
		node_truncate(n, 0);
		n->shrunk = 1, n->base = 0, n->gone = 1, n->fresh = 0;
		if (disk_step(d)) {
			rc = SQLITE_OK;
			if (sync_dir) disk_sync_dir(d, path);
		}
	}
	UNLOCK;
	return rc;
}

static int cut_path(sqlite3_vfs *v, const char *path, int len, char *out) {
	return unix_vfs->xFullPathname(unix_vfs, path, len, out);
}
static int cut_random(sqlite3_vfs *v, int len, char *out) { return unix_vfs->xRandomness(unix_vfs, len, out); }
static int cut_sleep(sqlite3_vfs *v, int us) { return unix_vfs->xSleep(unix_vfs, us); }
static int cut_time(sqlite3_vfs *v, double *t) { return unix_vfs->xCurrentTime(unix_vfs, t); }
static int cut_error(sqlite3_vfs *v, int len, char *out) { return unix_vfs->xGetLastError(unix_vfs, len, out); }
static int cut_time64(sqlite3_vfs *v, sqlite3_int64 *t) { return unix_vfs->xCurrentTimeInt64(unix_vfs, t); }

static sqlite3_vfs powercut_vfs = {
	.iVersion = 2, .zName = "powercut",
	.xOpen = cut_open, .xDelete = cut_delete, .xAccess = cut_access, .xFullPathname = cut_path,
	.xRandomness = cut_random, .xSleep = cut_sleep, .xCurrentTime = cut_time, .xGetLastError = cut_error,
	.xCurrentTimeInt64 = cut_time64,
};

int powercut_register(void) {
	int rc = sqlite3_initialize();
	if (rc != SQLITE_OK) return rc;
	if (!(unix_vfs = sqlite3_vfs_find("unix"))) return SQLITE_NOTFOUND;
	powercut_vfs.szOsFile = REAL + unix_vfs->szOsFile;
	powercut_vfs.mxPathname = unix_vfs->mxPathname;
	return sqlite3_vfs_register(&powercut_vfs, 0);
}
