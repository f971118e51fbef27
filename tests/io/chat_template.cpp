#include <ctime>
#include <random>
#include <sdlora/io/chat_template.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;
using Messages = std::vector<ChatMessage>;

namespace {

// Templates of the plain kinds, each with the white space control that its kind is known for.
const std::string chat_ml =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% "
    "endif %}";
const std::string zephyr = R"({% for message in messages %}
    {% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
    {% elif message.role == "system" %}
{{ '<|system|>
' ~ message.content ~ eos_token }}
    {%- else %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
    {% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
)";
const std::string instructions =
    R"({{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set first = messages[0].content.strip() %})"
    R"({% else %}{% set turns = messages %}{% set first = false %}{% endif %}{% for m in turns %})"
    R"({% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %})"
    R"({% if loop.first and first is string %}{% set content = '<<' + first + '>>\n' + m.content %}{% else %})"
    R"({% set content = m.content %}{% endif %}{% if m.role == 'user' %}{{ '[INST] ' + content | trim + ' [/INST]' }})"
    R"({% else %}{{ ' ' + content.strip() + eos_token }}{% endif %}{% endfor %})";
const std::string headers =
    R"({% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + message['role'] + )"
    R"('<|end|>\n\n' + message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %})"
    R"({% endif %}{{ content }}{% endfor %}{{ '<|start|>assistant<|end|>\n\n' if add_generation_prompt else '' }})";

std::string render(const std::string& text, const Messages& messages = {}, bool answer = false) {
  return ChatTemplate(text, {{"bos_token", "<s>"}, {"eos_token", "</s>"}}).render(messages, answer);
}

const Messages talk{{"system", " Be brief. "},
                    {"user", "Hi\n"},
                    {"assistant", "Hello!"},
                    {"user", "2+2?"},
                    {"assistant", " 4 "}};

}  // namespace

TEST_CASE("chat template: plain kinds, as transformers renders them") {
  const Messages asked(talk.begin(), talk.begin() + 2);
  CHECK(
      render(chat_ml, asked, true) ==
      "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\nHi\n<|im_end|>\n<|im_start|>assistant\n");
  CHECK(render(zephyr, asked, true) == "<|system|>\n Be brief. </s><|user|>\nHi\n</s>\n<|assistant|>\n");
  CHECK(render(zephyr, {talk.begin(), talk.begin() + 3}) ==
        "<|system|>\n Be brief. </s><|user|>\nHi\n</s>\n<|assistant|>\nHello!</s>\n");
  CHECK(render(instructions, talk) ==
        "<s>[INST] <<Be brief.>>\nHi [/INST] Hello!</s>[INST] 2+2? [/INST] 4</s>");
  CHECK(render(instructions, {talk.begin() + 1, talk.begin() + 3}) == "<s>[INST] Hi [/INST] Hello!</s>");
  CHECK(render(headers, asked, true) ==
        "<s><|start|>system<|end|>\n\nBe "
        "brief.<|eot|><|start|>user<|end|>\n\nHi<|eot|><|start|>assistant<|end|>\n\n");
  check_error<ArgumentError>([] { (void)render(instructions, {{"assistant", "a"}}); },
                             {"refuses the conversation", "turns must alternate"});
}

TEST_CASE("chat template: expressions and white space") {
  const Messages one{{"user", "aXb"}};
  const auto is = [&](const std::string& text, const std::string& expected) {
    CAPTURE(text);
    CHECK(render(text, one) == expected);
  };
  is("{{ 1 + 2 }}{{ 7 % 4 - 1 }}{{ -2 % 3 }}", "321");
  is("{{ 'a' ~ 1 ~ true ~ none }}", "a1TrueNone");
  is("{{ 'it\\'s' + \"\\t\\\\\" }}", "it's\t\\");
  is("{{ 'X' in messages[0].content }}{{ 'y' not in messages[0]['content'] }}", "TrueTrue");
  is("{{ 'role' in messages[0] and not ('tool' in messages[0]) }}", "True");
  is("{{ nothing is defined }}{{ nothing is not defined }}{{ messages[0].content is string }}{{ none is none "
     "}}",
     "FalseTrueTrueTrue");
  is("{{ nothing }}{{ messages[5] }}{{ messages[-1].role }}", "user");
  is("{{ messages | length }}{{ 'abc'|length }}{{ '  a '|trim }}", "13a");
  is("{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ ' a '.strip() }}|{{ 'aB'.upper() }}{{ 'aB'.lower() }}",
     "a | a|a|ABab");
  is("{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('ab') }}{{ messages[0].get('x', 'y') }}", "TrueFalsey");
  is("{{ 1 < 2 and 2 <= 2 and 3 > 2 and not 3 >= 4 }}{{ 1 == true }}{{ '1' == 1 }}", "TrueTrueFalse");
  is("{{ 'a' if false else 'b' if false else 'c' }}{{ 'x' if false }}", "c");
  is("{{ false or 'x' }}{{ 'a' and 'b' }}", "xb");
}

TEST_CASE("chat template: what is not read is named") {
  const auto refused = [](const std::string& text, std::initializer_list<std::string> parts) {
    CAPTURE(text);
    check_error<ArgumentError>([&] { (void)ChatTemplate(text); }, {"the template"});
    check_error<ArgumentError>([&] { (void)ChatTemplate(text); }, parts);
  };
  refused("{% macro f() %}{% endmacro %}", {"the block \"macro\""});
  refused("{% set ns = namespace(a=1) %}", {"\"namespace\""});
  refused("{% set ns.a = 1 %}", {"\".\""});
  refused("{{ x | tojson }}", {"the filter \"tojson\""});
  refused("{{ x.split('a') }}", {"\"split\""});
  refused("{{ strftime_now('%d') }}", {"\"strftime_now\""});
  refused("{{ x is iterable }}", {"the test \"iterable\""});
  refused("{{ {'a': 1} }}", {"\"{\""});
  refused("{{ [1] }}", {"\"[\""});
  refused("{{ 'a' ", {"without its end"});
  refused("{{ 'a }}", {"without its end"});
  refused("{{ a b }}", {"\"b\""});
  refused("{{ }}", {"an end"});
  refused("{{ '\\x41' }}", {"the escape \\x"});
  refused("{% if a %}", {"without its endif"});
  refused("{% for a in b %}{% endif %}", {"without its endfor"});
  refused("{% endfor %}", {"\"endfor\" without its beginning"});
  refused("{% for a in b if a %}{% endfor %}", {"\"if\""});
}

TEST_CASE("chat template: the assistant's messages are what is learned") {
  const ChatTemplate chat(chat_ml);
  using Parts = std::vector<ChatPart>;
  CHECK(chat.parts(talk) == Parts{{"<|im_start|>system\n Be brief. "
                                   "<|im_end|>\n<|im_start|>user\nHi\n<|im_end|>\n<|im_start|>assistant\n",
                                   false},
                                  {"Hello!<|im_end|>\n", true},
                                  {"<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n", false},
                                  {" 4 <|im_end|>\n", true}});
  // What follows the last answer teaches nothing.
  CHECK(chat.parts({talk.begin(), talk.begin() + 4}).size() == 2);
  // Without a beginning of answers the whole turn is learned.
  const ChatTemplate bare("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}");
  CHECK(bare.parts(Messages{{"user", "a"}, {"assistant", "b"}}) ==
        Parts{{"user: a\n", false}, {"assistant: b\n", true}});
  CHECK(bare.parts(Messages{{"assistant", "b"}}) == Parts{{"assistant: b\n", true}});
  check_error<ArgumentError>([&] { (void)chat.parts(Messages{{"user", "a"}}); },
                             {"\"assistant\", found none"});
  check_error<ArgumentError>([&] { (void)chat.parts({}); }, {"found none"});
  const ChatTemplate changing(
      "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}");
  check_error<ArgumentError>([&] { (void)changing.parts(talk); }, {"otherwise once others follow"});
}

TEST_CASE("chat template: of a folder, or why not") {
  const test::Folder folder;
  CHECK_FALSE(load_chat_template(folder.path()));
  folder.write("tokenizer_config.json",
               R"({"eos_token": "</s>", "chat_template": "{{ messages[0].content + eos_token }}"})");
  CHECK(load_chat_template(folder.path())->render(Messages{{"user", "a"}}, false) == "a</s>");
  folder.write("chat_template.jinja", "{% macro f() %}");
  check_error<FileError>([&] { (void)load_chat_template(folder.path()); },
                         {"chat_template.jinja", "the block \"macro\"", "completion and prompt"});
}

TEST_CASE("chat template: damaged ones are errors, nothing else") {
  std::mt19937 random(5);
  for (const std::string& text : {chat_ml, zephyr, instructions, headers}) {
    for (int i = 0; i < 2000; ++i) {
      std::string damaged = text;
      for (auto flips = 1 + random() % 3; flips > 0; --flips) {
        const std::size_t at = random() % damaged.size(), other = random() % text.size();
        damaged[at] = text[other];
      }
      if (random() % 4 == 0) damaged.resize(random() % damaged.size());
      try {
        (void)render(damaged, talk, true);
      } catch (const ArgumentError& error) {
        CHECK(std::string(error.what()).starts_with("the template"));
      }
    }
  }
  const auto deep = [](const std::string& open, const std::string& close) {
    std::string text = "{{ ";
    for (int i = 0; i < 100'000; ++i) text += open;
    text += "1";
    for (int i = 0; i < 100'000; ++i) text += close;
    check_error<ArgumentError>([&] { (void)render(text + " }}"); }, {"the template"});
  };
  deep("(", ")");
  deep("1 + ", "");
  deep("not ", "");
  deep("messages[", "]");
  std::string blocks;
  for (int i = 0; i < 100'000; ++i) blocks += "{% if true %}";
  check_error<ArgumentError>([&] { (void)render(blocks); }, {"too deeply"});
  std::string loops, ends;
  for (int i = 0; i < 40; ++i) {
    loops += "{% for a in messages %}";
    ends += "{% endfor %}";
  }
  check_error<ArgumentError>([&] { (void)render(loops + std::string(1 << 20, 'x') + ends, talk); },
                             {"64 MiB"});
  check_error<ArgumentError>([&] { (void)render(loops + ends, talk); }, {"64 MiB"});
  check_error<ArgumentError>([&] { (void)render(loops + "{% if loop.first %}{% endif %}" + ends, talk); },
                             {"64 MiB"});
  std::string doubled = "{% set a = 'a text' %}", copies = "{% set a = messages[0].content %}";
  for (int i = 0; i < 40; ++i) doubled += "{% set a = a ~ a %}";
  for (int i = 0; i < 200; ++i) copies += "{% set a" + std::to_string(i) + " = a %}";
  check_error<ArgumentError>([&] { (void)render(doubled); }, {"64 MiB"});
  check_error<ArgumentError>([&] { (void)render(copies, Messages{{"user", std::string(1 << 20, 'a')}}); },
                             {"64 MiB"});
  const std::clock_t begin = std::clock();
  std::string many = "{% if false %}";
  for (int i = 0; i < 40'000; ++i) many += "{% elif false %}{ ";
  CHECK(render(many + "{% endif %}").empty());
  CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 10.0);
}
