#include "libcommon/base/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The text of the Error(corrupt) that an action must throw.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::string refusal(std::string_view text) {
  return error_of([&] { parse_strict_json(text, "x.json"); });
}

TEST(StrictJson, ReadsWhatNlohmannReads) {
  const std::string text = R"({"a":[1,-2,3.5,{"b":null}],"c":"\u00e9","d":{},"e":[],"f":true})";
  EXPECT_EQ(parse_strict_json(text, "x"), nlohmann::json::parse(text));
}

TEST(StrictJson, RefusesAKeyGivenTwiceAtAnyDepth) {
  EXPECT_THAT(refusal(R"({"a":1,"a":1})"), HasSubstr("the key \"a\" is given twice"));
  EXPECT_THAT(refusal(R"({"x":[{"a":1,"\u0061":2}]})"), HasSubstr("the key \"a\""));
}

TEST(StrictJson, RefusesTextThatIsNotOneObject) {
  EXPECT_THAT(refusal(""), HasSubstr("does not start with {"));
  EXPECT_THAT(refusal("[]"), HasSubstr("does not start with {"));
  EXPECT_THAT(refusal("{"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{}{}"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{\"a\":1e999}"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("{\"\xff\":1}"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(std::string_view("{}\0{}", 5)), HasSubstr("NUL byte at offset 2"));
}

TEST(StrictJson, NestsToItsLimitAndNoDeeper) {
  const auto nested = [](std::size_t arrays) {
    return R"({"a":)" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
  };
  EXPECT_TRUE(parse_strict_json(nested(kMaxJsonDepth - 1), "x").is_object());
  EXPECT_THAT(refusal(nested(kMaxJsonDepth)), HasSubstr("deeper than 16 levels"));
}

TEST(StrictJson, ErrorsQuoteWithoutControlCharactersAndBounded) {
  EXPECT_THAT(refusal("{\"\x7f\\u001b[2J\":1,\"\x7f\\u001b[2J\":2}"), Not(HasSubstr("\x1b")));
  EXPECT_LT(refusal("{\"" + std::string(100000, 'x') + "\xff\":1}").size(), 300u);
}

TEST(JsonObject, TakesFieldsOfTheirTypeAndNamesThoseThatAreNot) {
  const auto value =
      parse_strict_json(R"({"i":7,"n":-1,"d":1.0,"b":true,"s":"x","o":{"i":8},"a":[]})", "x.json");
  JsonObject object(value, "x.json");
  EXPECT_EQ(object.integer("i", 7), 7u);
  EXPECT_EQ(object.number("d"), 1.0);
  EXPECT_TRUE(object.boolean("b"));
  EXPECT_EQ(object.text("s"), "x");
  EXPECT_EQ(object.object("o").integer("i"), 8u);
  EXPECT_TRUE(object.array("a").empty());
  EXPECT_EQ(error_of([&] { object.integer("i", 6); }),
            "x.json: i is 7, expected an integer from 0 to 6");
  EXPECT_THAT(error_of([&] { object.integer("n"); }), HasSubstr("n is -1"));
  EXPECT_THAT(error_of([&] { object.integer("d"); }), HasSubstr("d is 1.0"));
  EXPECT_THAT(error_of([&] { object.number("i"); }), HasSubstr("decimal point"));
  EXPECT_THAT(error_of([&] { object.boolean("i"); }), HasSubstr("true or false"));
  EXPECT_THAT(error_of([&] { object.text("i"); }), HasSubstr("a string"));
  EXPECT_THAT(error_of([&] { object.object("i"); }), HasSubstr("x.json.i: 7, expected an object"));
  EXPECT_THAT(error_of([&] { object.array("o"); }), HasSubstr("an array"));
  EXPECT_THAT(error_of([&] { object.sha256("s"); }), HasSubstr("64 lower-case"));
  EXPECT_THAT(error_of([&] { object.text("none"); }), HasSubstr("no key \"none\""));
}

TEST(JsonObject, RefusesKeysThatNobodyRead) {
  const auto value = parse_strict_json(R"({"a":1,"b":2})", "x.json");
  JsonObject object(value, "x.json");
  object.integer("a");
  EXPECT_EQ(error_of([&] { object.finish(); }), "x.json: unknown key \"b\"");
  object.integer("b");
  object.finish();
}

TEST(StrictJson, WhatEditorsPutBeforeATextIsNoPartOfIt) {
  EXPECT_EQ(without_preamble("\xef\xbb\xbf{}"), "{}");
  EXPECT_EQ(without_preamble("\xef\xbb\xbf \r\n\t{} "), "{} ");
  EXPECT_EQ(without_preamble("\n{}"), "{}");
  EXPECT_EQ(without_preamble(" \n"), "");
  EXPECT_EQ(without_preamble(""), "");
  EXPECT_EQ(without_preamble("x\xef\xbb\xbf{}"), "x\xef\xbb\xbf{}");
}

}  // namespace
}  // namespace ptrain
