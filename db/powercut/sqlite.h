// The few declarations of SQLite that a VFS needs. They are its public
// interface, which it keeps stable; the driver brings SQLite itself and no
// header that another package could include.
#ifndef POWERCUT_SQLITE_H
#define POWERCUT_SQLITE_H

typedef long long sqlite3_int64;
typedef struct sqlite3_file sqlite3_file;
typedef struct sqlite3_io_methods sqlite3_io_methods;
typedef struct sqlite3_vfs sqlite3_vfs;

struct sqlite3_file {
	const sqlite3_io_methods *pMethods;
};

struct sqlite3_io_methods {
	int iVersion;
	int (*xClose)(sqlite3_file *);
	int (*xRead)(sqlite3_file *, void *, int, sqlite3_int64);
	int (*xWrite)(sqlite3_file *, const void *, int, sqlite3_int64);
	int (*xTruncate)(sqlite3_file *, sqlite3_int64);
	int (*xSync)(sqlite3_file *, int);
	int (*xFileSize)(sqlite3_file *, sqlite3_int64 *);
	int (*xLock)(sqlite3_file *, int);
	int (*xUnlock)(sqlite3_file *, int);
	int (*xCheckReservedLock)(sqlite3_file *, int *);
	int (*xFileControl)(sqlite3_file *, int, void *);
	int (*xSectorSize)(sqlite3_file *);
	int (*xDeviceCharacteristics)(sqlite3_file *);
	int (*xShmMap)(sqlite3_file *, int, int, int, void volatile **);
	int (*xShmLock)(sqlite3_file *, int, int, int);
	void (*xShmBarrier)(sqlite3_file *);
	int (*xShmUnmap)(sqlite3_file *, int);
};

struct sqlite3_vfs {
	int iVersion;
	int szOsFile;
	int mxPathname;
	sqlite3_vfs *pNext;
	const char *zName;
	void *pAppData;
	int (*xOpen)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
	int (*xDelete)(sqlite3_vfs *, const char *, int);
	int (*xAccess)(sqlite3_vfs *, const char *, int, int *);
	int (*xFullPathname)(sqlite3_vfs *, const char *, int, char *);
	void *(*xDlOpen)(sqlite3_vfs *, const char *);
	void (*xDlError)(sqlite3_vfs *, int, char *);
	void (*(*xDlSym)(sqlite3_vfs *, void *, const char *))(void);
	void (*xDlClose)(sqlite3_vfs *, void *);
	int (*xRandomness)(sqlite3_vfs *, int, char *);
	int (*xSleep)(sqlite3_vfs *, int);
	int (*xCurrentTime)(sqlite3_vfs *, double *);
	int (*xGetLastError)(sqlite3_vfs *, int, char *);
	int (*xCurrentTimeInt64)(sqlite3_vfs *, sqlite3_int64 *);
	// Version 3 goes on; ours is registered as version 2.
};

int sqlite3_initialize(void);
sqlite3_vfs *sqlite3_vfs_find(const char *);
int sqlite3_vfs_register(sqlite3_vfs *, int);

enum {
	SQLITE_OK = 0,
	SQLITE_IOERR = 10,
	SQLITE_FULL = 13,
	SQLITE_CANTOPEN = 14,
	SQLITE_NOTFOUND = 12,
	SQLITE_IOERR_READ = SQLITE_IOERR | 1 << 8,
	SQLITE_IOERR_SHORT_READ = SQLITE_IOERR | 2 << 8,
	SQLITE_IOERR_WRITE = SQLITE_IOERR | 3 << 8,
	SQLITE_IOERR_FSYNC = SQLITE_IOERR | 4 << 8,
	SQLITE_IOERR_TRUNCATE = SQLITE_IOERR | 6 << 8,
	SQLITE_IOERR_DELETE = SQLITE_IOERR | 10 << 8,
	SQLITE_IOERR_NOMEM = SQLITE_IOERR | 12 << 8,
	SQLITE_IOERR_DELETE_NOENT = SQLITE_IOERR | 23 << 8,
	SQLITE_OPEN_CREATE = 0x4,
	SQLITE_OPEN_MAIN_DB = 0x100,
	SQLITE_OPEN_MAIN_JOURNAL = 0x800,
	SQLITE_OPEN_SUPER_JOURNAL = 0x4000,
	SQLITE_OPEN_WAL = 0x80000,
	SQLITE_SYNC_DATAONLY = 0x10,
	SQLITE_ACCESS_EXISTS = 0,
	SQLITE_FCNTL_SIZE_HINT = 5,
	SQLITE_FCNTL_CHUNK_SIZE = 6,
	SQLITE_FCNTL_MMAP_SIZE = 18,
	SQLITE_IOCAP_BATCH_ATOMIC = 0x4000,
};

#endif
