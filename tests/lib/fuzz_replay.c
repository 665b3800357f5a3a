/* Replays a fuzz target over files and folders of inputs, without libFuzzer, and over every prefix of
 * small ones: the regression run that CTest makes. */
#include "base/bytes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t n_inputs;

static void replay(const uint8_t *data, size_t len)
{
    uint8_t *exact = calloc(len ? len : 1, 1);  /* so that ASan sees a read past the end */

    memcpy(exact, data, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    n_inputs++;
}

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    static uint8_t data[4 << 20];
    size_t len;

    if (!f) {
        perror(path);
        exit(1);
    }
    len = fread(data, 1, sizeof data, f);
    fclose(f);
    replay(data, len);
    for (size_t cut = 0; cut < len && len <= 4096; cut++)
        replay(data, cut);
}

static void replay_path(const char *path)
{
    struct stat st;
    struct dirent *e;
    DIR *dir;

    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        char sub[4096];

        if (e->d_name[0] == '.')
            continue;
        snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
        replay_path(sub);
    }
    if (dir)
        closedir(dir);
}

int main(int argc, char **argv)
{
    replay((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        replay_path(argv[i]);
    printf("replayed %zu inputs\n", n_inputs);
    return n_inputs > 1 ? 0 : 1;    /* an empty corpus is a mistake */
}
