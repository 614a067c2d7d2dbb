// What the fault tests and their shim share: where to kill, what to fail, what was seen, and the
// journal of every change that a process made to files under one folder.
//
// The shim stands between a program and libc (linked before it, or by LD_PRELOAD). It passes
// everything through until it is given a control block: by fault_attach, or by the file that
// FAULT_CONTROL names when the program is the one that FAULT_PROGRAM names.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The named steps, in the order of fault_step_name. File steps are on files under the root.
enum FaultStep {
  kStepNone,
  kStoreOpen,  // database, log, journal or lock, made or opened
  kWalWrite,
  kWalSync,
  kWalTruncate,
  kDbWrite,  // a checkpoint of the log, or the first pages
  kDbSync,
  kDbTruncate,
  kJournalWrite,
  kJournalSync,
  kStoreUnlink,  // log or journal
  kStoreRead,
  kResultCreate,
  kResultWrite,
  kResultSync,
  kResultRename,
  kResultRead,
  kCheckpointCreate,
  kCheckpointWrite,
  kCheckpointSync,
  kCheckpointRename,
  kCheckpointRead,
  kFolderMake,
  kFolderSync,
  kFolderOpen,
  kSweep,  // files and folders of ended jobs
  kOtherFile,
  kThreadStart,
  kSpawn,
  kPipeRead,
  kPipeWrite,
  kSocketAccept,  // clients of the daemon
  kSocketRead,
  kSocketWrite,
  kWorkerConnect,  // the daemon as the client of a worker
  kWorkerRead,
  kWorkerWrite,
  kAllocate,
  kFaultSteps
};

// What fails together, each counted by itself.
enum FaultGroup { kGroupNone, kGroupFile, kGroupAllocate, kGroupSpawn, kGroupTalk, kFaultGroups };

enum FaultWhen { kBefore, kTorn, kAfter };  // torn: a write half done; before, where it is none

enum { kFaultRootMax = 256, kFaultJournalAt = 4096, kFaultShort = -1 };

struct FaultControl {
  char root[kFaultRootMax];  // the folder whose files are watched
  uint32_t kill_step;        // kStepNone: never
  uint32_t kill_when;
  uint64_t kill_at;          // its n-th time, from 1
  uint32_t kill_parent;      // the parent first
  uint32_t fail_group;
  uint64_t fail_at;
  int32_t fail_errno;        // or kFaultShort: half of what was asked, EIO where there is no half
  uint32_t fail_for_ever;    // all later ones too
  uint64_t journal_max;      // bytes; 0: none is kept
  // Written by the shim.
  uint64_t seen[kFaultSteps];
  uint64_t of_group[kFaultGroups];
  uint32_t hit;          // the step at which the process was killed
  uint32_t failed;       // how many calls were made to fail
  uint32_t failed_step;  // the first of them
  uint64_t journal_used;  // over journal_max: it was too small
};

// Records lie after each other from kFaultJournalAt on, each padded to 8 bytes.
enum FaultRecordKind {
  kRecordNote,    // bytes: what the program said
  kRecordCreate,  // inode, bytes: path
  kRecordWrite,   // inode, at, bytes
  kRecordSync,    // inode
  kRecordTruncate,    // inode, at
  kRecordRename,      // bytes: from '\0' to
  kRecordUnlink,      // bytes: path
  kRecordMakeFolder,  // bytes: path
  kRecordDropFolder,  // bytes: path
  kRecordSyncFolder   // bytes: path
};

struct FaultRecord {
  uint32_t kind;
  uint32_t size;  // of the bytes that follow, before padding
  uint64_t inode;
  int64_t at;
};

// The block lies in shared memory, so that it outlives the process. NULL: no more.
void fault_attach(struct FaultControl* block);
void fault_note(const char* text, size_t size);
const char* fault_step_name(int step);

#ifdef __cplusplus
}
#endif
