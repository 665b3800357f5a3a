/* OTLP's JSON against the protobuf that says the same. */
#include "formats/otlp.h"
#include "lib/reading.h"
#include "lib/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;
static struct failure failure;

static int convert(const char *json)
{
    buf_reset(&out);
    return otlp_from_json(bytes_str(json), &out, &failure);
}

static void check_same(const char *json, const char *wire)
{
    struct buf expected = {0};

    if (convert(json))
        fail_msg("refused: %s", failure.message);
    wire_write(wire, &expected);
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.data, expected.data, expected.len);
    buf_deinit(&expected);
}

static void every_field_has_its_number(void **state)
{
    (void)state;
    check_same("{}", "");
    check_same("{\"resourceProfiles\":[{\"resource\":{\"attributes\":["
               "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"web\"}},"
               "{\"keyStrindex\":7,\"value\":{\"stringValueStrindex\":8}},"
               "{\"key\":\"n\",\"value\":{\"intValue\":\"-5\"}},"
               "{\"key\":\"b\",\"value\":{\"boolValue\":true}}]}}]}",
               "1{1{1{1\"service.name\" 2{1\"web\"}} 1{3:7 2{8:8}} 1{1\"n\" 2{3:-5}} "
               "1{1\"b\" 2{2:1}}}}");
    check_same("{\"resourceProfiles\":[{\"scopeProfiles\":[{\"scope\":{\"name\":\"s\","
               "\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}}]},"
               "\"profiles\":[{\"sampleType\":{\"typeStrindex\":1,\"unitStrindex\":2},"
               "\"samples\":[{\"stackIndex\":3,\"attributeIndices\":[1,2],\"linkIndex\":4,"
               "\"values\":[\"10\",11],\"timestampsUnixNano\":[\"1795487941876804000\"]}],"
               "\"timeUnixNano\":\"1000\",\"durationNano\":\"50\","
               "\"periodType\":{\"typeStrindex\":3},\"period\":\"100\","
               "\"attributeIndices\":[6]}]}]}]}",
               "1{2{1{3{1\"k\" 2{1\"v\"}}} 2{1{1:1 2:2} "
               "2{1:3 2[1 2] 3:4 4[10 11] 5<1795487941876804000>} 3@1000 4:50 5{1:3} 6:100 "
               "11[6]}}}");
    check_same(
        "{\"dictionary\":{\"mappingTable\":[{},{\"memoryStart\":\"1\",\"memoryLimit\":\"2\","
        "\"fileOffset\":\"3\",\"filenameStrindex\":4,\"attributeIndices\":[5]}],"
        "\"locationTable\":[{\"mappingIndex\":1,\"address\":\"2\",\"lines\":[{"
        "\"functionIndex\":1,\"line\":\"2\",\"column\":\"3\"}],\"attributeIndices\":[4]}],"
        "\"functionTable\":[{\"nameStrindex\":1,\"systemNameStrindex\":2,\"filenameStrindex\":3,"
        "\"startLine\":\"4\"}],"
        "\"linkTable\":[{\"traceId\":\"000102030405060708090A0B0C0D0E0F\","
        "\"spanId\":\"0001020304050607\"}],\"stringTable\":[\"\",\"a\\u00e4\"],"
        "\"attributeTable\":[{\"keyStrindex\":1,\"value\":{\"stringValue\":\"v\"},"
        "\"unitStrindex\":2}],\"stackTable\":[{\"locationIndices\":[1,300]}]}}",
        "2{1{} 1{1:1 2:2 3:3 4:4 5[5]} 2{1:1 2:2 3{1:1 2:2} 4[4]} 3{1:1 2:2 3:3 4:4} "
        "4{1#000102030405060708090a0b0c0d0e0f 2#0001020304050607} 5\"\" 5\"a\xc3\xa4\" "
        "6{1:1 2{1\"v\"}} 7{1[1 300]}}");
}

static void words_of_1_8_are_known(void **state)
{
    (void)state;
    check_same("{\"resourceProfiles\":[{\"scopeProfiles\":[{\"profiles\":[{"
               "\"sample\":[{\"values\":[1]}]}]}]}],"
               "\"dictionary\":{\"locationTable\":[{\"line\":[{\"functionIndex\":1}]}]}}",
               "1{2{2{2{4[1]}}}} 2{2{3{1:1}}}");
}

static void unknown_keys_and_nulls_are_passed_over(void **state)
{
    (void)state;
    check_same("{\"what\":{\"resourceProfiles\":[{}]},\"schemaUrl\":null,\"dictionary\":null,"
               "\"resourceProfiles\":[{\"resource\":{\"attributes\":[{\"key\":\"l\",\"value\":"
               "{\"arrayValue\":{\"values\":[{\"stringValue\":\"x\"}]}}}]},\"new\":[[1]]}]}",
               "1{1{1{1\"l\" 2{}}}}");
}

static void what_is_no_such_message_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "[",
        "\"x\"",
        "{\"dictionary\":7}",
        "{\"dictionary\":\"x\"}",
        "{\"dictionary\":{\"stringTable\":[{}]}}",
        "{\"dictionary\":{\"stackTable\":[{\"locationIndices\":5}]}}",
        "{\"dictionary\":{\"stackTable\":[{\"locationIndices\":[1.5]}]}}",
        "{\"dictionary\":{\"stackTable\":[{\"locationIndices\":[\"\"]}]}}",
        "{\"dictionary\":{\"stackTable\":[{\"locationIndices\":[18446744073709551616]}]}}",
        "{\"dictionary\":{\"stackTable\":[{\"locationIndices\":[-9223372036854775809]}]}}",
        "{\"dictionary\":{\"linkTable\":[{\"traceId\":\"xy\"}]}}",
        "{\"dictionary\":{\"linkTable\":[{\"traceId\":\"abc\"}]}}",
        "{\"dictionary\":{\"linkTable\":[{\"traceId\":\"000102030405060708090a0b0c0d0e0f00\"}]}}",
        "{} {}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (convert(cases[i]) == 0)
            fail_msg("accepted: %s", cases[i]);
        assert_int_equal(failure.status, 400);
        assert_string_equal(failure.code, "malformed");
    }
}

static void older_layouts_are_refused(void **state)
{
    (void)state;
    assert_int_equal(convert("{\"resourceProfiles\":[{\"scopeProfiles\":[{\"profiles\":[{"
                             "\"sample\":[{\"locationsStartIndex\":0,\"locationsLength\":1,"
                             "\"value\":[\"5\"]}]}]}]}]}"),
                     FAILURE);
    assert_string_equal(failure.code, "old_layout");
}

static void nesting_and_growth_have_a_cap(void **state)
{
    struct buf text = {0};

    (void)state;
    for (unsigned i = 0; i < 100000; i++)
        buf_append_str(&text, "{\"a\":");
    assert_int_equal(convert(buf_cstr(&text)), FAILURE);
    assert_string_equal(failure.code, "limit_exceeded");

    buf_reset(&text);
    buf_append_str(&text, "{\"resourceProfiles\":[{\"scopeProfiles\":[{\"profiles\":[{"
                          "\"samples\":[{\"timestampsUnixNano\":[0");
    for (unsigned i = 0; i < 100000; i++)
        buf_append_str(&text, ",0");
    buf_append_str(&text, "]}]}]}]}]}");
    assert_int_equal(convert(buf_cstr(&text)), FAILURE);
    assert_string_equal(failure.code, "limit_exceeded");
    buf_deinit(&text);
}

static void json_is_read_as_a_profile(void **state)
{
    static const char json[] =
        "{\"resourceProfiles\":[{\"scopeProfiles\":[{\"profiles\":[{\"sampleType\":{"
        "\"typeStrindex\":1,\"unitStrindex\":2},\"samples\":[{\"stackIndex\":1,\"values\":[\"5\"]},"
        /* By numbers alone these two could be 1.8's value and attribute. */
        "{\"stackIndex\":1,\"attributeIndices\":[9],\"values\":[\"5\"]}]}]}]}],"
        "\"dictionary\":{\"stringTable\":[\"\",\"cpu\",\"ns\",\"main\"],"
        "\"functionTable\":[{},{\"nameStrindex\":3}],"
        "\"locationTable\":[{},{\"lines\":[{\"functionIndex\":1}]}],"
        "\"stackTable\":[{},{\"locationIndices\":[1]}]}}";
    struct otlp_reader *r = otlp_reader_new();
    struct told t;

    (void)state;
    assert_true(is_otlp_json(BYTES_LIT(" {\n\"dictionary\": {}}")));
    assert_true(is_otlp_json(bytes_str(json)));
    assert_false(is_otlp_json(BYTES_LIT("{\"frames\":[]}")));
    assert_false(is_otlp_json(BYTES_LIT("\"dictionary\"")));
    told_init(&t);
    assert_int_equal(otlp_read_json(r, bytes_str(json), &t.rd), 0);
    assert_int_equal(t.stats.profiles_refused, 1);
    assert_non_null(strstr(t.stats.refused_why, "attribute 9 of 0"));
    told_deinit(&t);
    otlp_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_has_its_number),
        cmocka_unit_test(words_of_1_8_are_known),
        cmocka_unit_test(unknown_keys_and_nulls_are_passed_over),
        cmocka_unit_test(what_is_no_such_message_is_refused),
        cmocka_unit_test(older_layouts_are_refused),
        cmocka_unit_test(nesting_and_growth_have_a_cap),
        cmocka_unit_test(json_is_read_as_a_profile),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);

    buf_deinit(&out);
    return r;
}
