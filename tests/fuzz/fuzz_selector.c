/* Selectors and the regular expressions in them: text from a query's URL, matched against labels that
 * agents chose. What parses must match without a fault, and a copy of it must match the same. */
#include "base/err.h"
#include "query/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct selector s = {0}, again = {0};
    struct tags series = {0};
    struct failure f = {0};
    struct bytes text = bytes_of(data, len);

    if (selector_parse(&s, text, &f) != 0) {
        CHECK(f.status == 400 && f.code[0] && f.message[0]);
        return 0;
    }
    CHECK(selector_parse(&again, text, &f) == 0 && again.n == s.n);
    tags_add(&series, BYTES_LIT("version"), bytes_of(data, len < 64 ? len : 64));
    tags_add(&series, BYTES_LIT("env"), BYTES_LIT("prod"));
    CHECK(selector_matches(&s, BYTES_LIT("web"), &series) ==
          selector_matches(&again, BYTES_LIT("web"), &series));
    selector_deinit(&s);
    selector_deinit(&again);
    return 0;
}
