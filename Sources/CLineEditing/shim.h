/*
 * libedit for Swift, which does not import functions with variable arguments: each use of el_set and history has a name here.
 * libedit and not GNU readline, because a program that links that must be under the GPL.
 */
#ifndef CLINEEDITING_SHIM_H
#define CLINEEDITING_SHIM_H

#include <histedit.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef unsigned char (*cle_command)(EditLine *, int);

/** An editor that reads keys with `reader` and draws on descriptor 1 or 2. NULL if it cannot be made. */
static inline EditLine *cle_editor(int descriptor, el_rfunc_t reader)
{
    EditLine *editor = el_init("kimi", stdin, descriptor == 2 ? stderr : stdout, stderr);
    if (!editor)
        return NULL;
    el_set(editor, EL_SIGNAL, 0);
    el_set(editor, EL_EDITOR, "emacs");
    el_wset(editor, EL_GETCFN, reader);
    return editor;
}

static inline void cle_set_client_data(EditLine *editor, void *data) { el_set(editor, EL_CLIENTDATA, data); }

static inline void *cle_client_data(EditLine *editor)
{
    void *data = NULL;
    el_get(editor, EL_CLIENTDATA, &data);
    return data;
}

/** Parts of the prompt between two bytes 1 take no columns. */
static inline void cle_set_prompt(EditLine *editor, char *(*prompt)(EditLine *)) { el_set(editor, EL_PROMPT_ESC, prompt, '\1'); }

static inline void cle_add_command(EditLine *editor, const char *name, const char *help, cle_command command)
{
    el_set(editor, EL_ADDFN, name, help, command);
}

static inline void cle_bind(EditLine *editor, const char *keys, const char *name) { el_set(editor, EL_BIND, keys, name, NULL); }

static inline void cle_use_history(EditLine *editor, History *past) { el_set(editor, EL_HIST, history, past); }

/** Draws the line again below whatever is on the screen. */
static inline void cle_redraw(EditLine *editor) { el_set(editor, EL_REFRESH); }

/** Gives the terminal back (0) or takes it again (1) within an edited line. */
static inline void cle_take_terminal(EditLine *editor, int on) { el_set(editor, EL_PREP_TERM, on); }

/** At most `size` entries. */
static inline History *cle_history(int size)
{
    History *past = history_init();
    HistEvent event;
    if (past) {
        history(past, &event, H_SETSIZE, size);
        history(past, &event, H_SETUNIQUE, 1);
    }
    return past;
}

/** Enters a line as the newest; an older one that equals it goes. */
static inline void cle_history_enter(History *past, const char *line)
{
    HistEvent event;
    for (int found = history(past, &event, H_FIRST); found != -1; found = history(past, &event, H_NEXT))
        if (strcmp(event.str, line) == 0) {
            history(past, &event, H_DEL, event.num);
            break;
        }
    history(past, &event, H_ENTER, line);
}

/** Both: the number of entries, or -1. */
static inline int cle_history_load(History *past, const char *path)
{
    HistEvent event;
    return history(past, &event, H_LOAD, path);
}

static inline int cle_history_save(History *past, const char *path)
{
    HistEvent event;
    return history(past, &event, H_SAVE, path);
}

#endif
