/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PNG pictures of maps in fewer bytes and less time. Loaded before libpng (LD_PRELOAD, see ld.so(8)) this stands
 * between Qt and four functions of libpng, by their names.
 *
 * libpng tries five filters on each row and takes the one that looks best. That pays for photographs and shaded
 * relief. Areas of one colour compress better as they are, and trying takes longer than compressing them (PNG
 * specification, third edition, 12.7 "Filter selection"). So pictures in which pixels mostly repeat are written without
 * filters; all others are left to libpng, to the byte. Either way the pixels are the same.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_writer png_writer;
typedef const uint8_t *png_row;

/* Of png.h, which is not needed to build this. */
enum { TRUE_COLOUR = 2, TRUE_COLOUR_ALPHA = 6, NO_FILTER = 0x08 };

/* A larger picture is judged by so many bytes of it, if it comes row by row. */
static const size_t MOST_KEPT = 16 << 20;

/* libpng's own functions. */
typedef struct {
    void (*set_IHDR)(png_writer *, void *, uint32_t, uint32_t, int, int, int, int, int);
    void (*set_filler)(png_writer *, uint32_t, int);
    void (*set_filter)(png_writer *, int, int);
    void (*write_rows)(png_writer *, png_row *, uint32_t);
    void (*write_image)(png_writer *, png_row *);
} libpng;

/* The picture that this thread writes, until it is judged. `pixel`: its bytes in memory, 0 for no picture. */
static __thread struct {
    png_writer *writer;
    size_t width, height, pixel;
    /* Rows that came one by one: so many, the first ones of a picture. */
    uint8_t *kept;
    size_t rows;
} now;

/* Where libpng is called from, so that each caller gets the one that it was linked with: plugins bring their own. */
enum { CALLERS = 8 };
static __thread struct {
    const void *caller;
    libpng png;
} known[CALLERS];
static __thread unsigned next_known;

static void *function(void *library, const char *name) {
    void *found = library ? dlsym(library, name) : NULL;
    if (!found)
        found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "qgsd: a libpng without %s; write png=qgis in [server]\n", name);
        abort();
    }
    return found;
}

static const libpng *png_of(const void *caller) {
    for (unsigned one = 0; one < CALLERS; one++)
        if (known[one].caller == caller)
            return &known[one].png;
    Dl_info place;
    void *library = dladdr(caller, &place) ? dlopen(place.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    unsigned one = next_known++ % CALLERS;
    known[one].caller = caller;
    libpng *png = &known[one].png;
    /* ISO C knows no pointer that may be one to data or to a function; POSIX does. */
    *(void **)&png->set_IHDR = function(library, "png_set_IHDR");
    *(void **)&png->set_filler = function(library, "png_set_filler");
    *(void **)&png->set_filter = function(library, "png_set_filter");
    *(void **)&png->write_rows = function(library, "png_write_rows");
    *(void **)&png->write_image = function(library, "png_write_image");
    return png;
}

#define PNG png_of(__builtin_return_address(0))

static size_t repeated(png_row row, size_t width, size_t pixel) {
    size_t same = 0;
    if (pixel == 4) {
        for (size_t x = 1; x < width; x++) {
            uint32_t before, here;
            memcpy(&before, row + 4 * (x - 1), 4);
            memcpy(&here, row + 4 * x, 4);
            same += before == here;
        }
    } else {
        for (size_t x = 1; x < width; x++)
            same += !memcmp(row + 3 * (x - 1), row + 3 * x, 3);
    }
    return same;
}

/* Of maps and legends three in five pixels and more are as the one before, of relief and hill shades three in ten. */
static void judge(const libpng *png, png_row *rows, size_t count) {
    size_t same = 0;
    for (size_t y = 0; y < count; y++)
        same += repeated(rows[y], now.width, now.pixel);
    if (count && 5 * same >= 2 * count * now.width)
        png->set_filter(now.writer, 0, NO_FILTER);
    now.pixel = 0;
}

static size_t row_size(void) { return now.width * now.pixel; }

static size_t rows_to_judge(void) {
    size_t most = MOST_KEPT / row_size();
    return now.height < most ? now.height : most ? most : 1;
}

static void forget(void) {
    free(now.kept);
    memset(&now, 0, sizeof now);
}

/* Judge by the rows that are kept, and write them. */
static void let_go(const libpng *png) {
    png_row *rows = malloc(now.rows * sizeof *rows);
    if (rows) {
        for (size_t y = 0; y < now.rows; y++)
            rows[y] = now.kept + y * row_size();
        png_writer *writer = now.writer;
        size_t count = now.rows;
        judge(png, rows, count);
        png->write_rows(writer, rows, (uint32_t)count);
        free(rows);
    } else {
        size_t size = row_size();
        for (size_t y = 0; y < now.rows; y++) {
            png_row one = now.kept + y * size;
            png->write_rows(now.writer, &one, 1);
        }
    }
    forget();
}

static int keep(png_row row) {
    if (!now.kept && !(now.kept = malloc(rows_to_judge() * row_size())))
        return 0;
    memcpy(now.kept + now.rows++ * row_size(), row, row_size());
    return 1;
}

/* In place of libpng's. */

void png_set_IHDR(png_writer *writer, void *info, uint32_t width, uint32_t height, int depth, int colours,
                  int interlaced, int compression, int filter) {
    forget(); /* one that was never finished */
    if (depth == 8 && !interlaced && width && height) {
        now.writer = writer;
        now.width = width;
        now.height = height;
        now.pixel = colours == TRUE_COLOUR ? 3 : colours == TRUE_COLOUR_ALPHA ? 4 : 0;
    }
    PNG->set_IHDR(writer, info, width, height, depth, colours, interlaced, compression, filter);
}

void png_set_filler(png_writer *writer, uint32_t filler, int where) {
    if (writer == now.writer && now.pixel)
        now.pixel = 4;
    PNG->set_filler(writer, filler, where);
}

void png_write_image(png_writer *writer, png_row *rows) {
    const libpng *png = PNG;
    if (writer == now.writer && now.pixel)
        judge(png, rows, now.height);
    png->write_image(writer, rows);
}

void png_write_rows(png_writer *writer, png_row *rows, uint32_t count) {
    const libpng *png = PNG;
    for (uint32_t one = 0; one < count; one++) {
        if (writer != now.writer || !now.pixel) {
            png->write_rows(writer, rows + one, count - one);
            return;
        }
        if (!keep(rows[one])) {
            let_go(png);
            png->write_rows(writer, rows + one, 1);
        } else if (now.rows == rows_to_judge()) {
            let_go(png);
        }
    }
}
