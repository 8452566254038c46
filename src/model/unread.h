/* What a model file says and nothing here reads. */
#ifndef MN_MODEL_UNREAD_H
#define MN_MODEL_UNREAD_H

#include "base/notes.h"
#include "model/model.h"

/* Adds a note that names the keys of the model's architecture that no typed read has asked for, and one that names the
 * tensors that no layer has bound: the file may mean another computation than the one that runs. To be called when all
 * keys have been read. */
void mn_model_note_unread(const mn_model *model, mn_notes *notes);

#endif
