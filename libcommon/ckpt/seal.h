// Derives the manifest of a step from the records of its stages, when all of them are there
// and nobody did it: the run ended between the last record and the manifest, or the stages'
// files were brought together by hand.

#pragma once

#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

struct Sealed {
  CheckpointId id;
  bool was_sealed = false;  // the same manifest stood there already
};

// The manifest is written when every byte of every stage has been checked against its record,
// so what it calls a checkpoint is one. A manifest that does not parse is replaced.
//
// Throws Error(corrupt), and writes nothing, when a record or a file is missing or damaged,
// when records disagree (naming the field and both values), or when a valid manifest stands
// there that says something else.
Sealed seal_step(os::Storage& storage, CheckpointStore& store, Step step,
                 const Progress& progress = {});

}  // namespace ptrain::ckpt
