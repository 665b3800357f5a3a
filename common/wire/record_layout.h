/* The places and tags of a record that encoder and decoder share; record.h has the whole picture. */
#ifndef HEARTH_WIRE_RECORD_LAYOUT_H
#define HEARTH_WIRE_RECORD_LAYOUT_H

#define RECORD_MAGIC "HRec"

enum {
    RECORD_VERSION = 3,
    RECORD_AT_VERSION = 4,
    RECORD_AT_CODEC = 5,
    RECORD_AT_FLAGS = 6,
    RECORD_AT_RAW_LEN = 8,
    RECORD_AT_CRC = 12,
    RECORD_FIXED_BYTES = 16,
};

/* Sections of the columns. Ids in them count from 1, in the order of the section they point into; 0 is
 * none: the empty string, no function, no mapping, the root. New kinds get new numbers; a reader skips
 * what it does not know. */
enum record_section {
    SECTION_TYPES = 1,      /* n, then five-part names as varbytes */
    SECTION_STRINGS,        /* n, in the order of their bytes; columns: bytes it shares with the one before,
                             * bytes of its own, which are in SECTION_TEXTS */
    SECTION_FUNCTIONS,      /* n, then columns: name, system name, file, start line (zigzag) */
    SECTION_MAPPINGS,       /* n, then columns: file, build id */
    SECTION_FRAMES,         /* n, then columns: 1 + (function − the first that no frame before has) (zigzag), or 0
                             * if it has none; mapping, line or address */
    SECTION_NODES,          /* n, m; columns of the m that are not the child of the node before: how far it
                             * is from the last of them (the first: from 1), own id − parent's (≥ 1);
                             * column of all n: frame − the parent's (zigzag; the root has 0) */
    SECTION_LABELS,         /* n sets, then a column: number of labels; columns of all labels: key, string,
                             * number − that of the one before (zigzag, mod 2^64), unit */
    SECTION_ROWS,           /* n, then columns: node, label set */
    SECTION_VALUES,         /* step (≥ 1), values / step (zigzag) of all rows; one such section a type,
                             * in their order */
    SECTION_SPANS,          /* n, then columns of u64 LE: trace high, trace low, root, span */
    SECTION_ROW_SPANS,      /* a column: span of each row. Both are there only if a row has a span */
    SECTION_TEXTS,          /* of all strings, one behind the other */
    SECTION_N,
};

#endif
