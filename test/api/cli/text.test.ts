import t from 'tap';
import { cutToWidth, displayWidth, padToWidth, printable, wrapText } from '../../../api/cli/text.ts';

t.test('nothing that commands or deceives a terminal gets through', async (t) => {
  const cases: [string, string, string][] = [
    ['plain', 'socat -v TCP:1', 'socat -v TCP:1'],
    ['letters of any script', 'naïve 日本語 😀 ß', 'naïve 日本語 😀 ß'],
    ['escape sequence', '\x1b[31mred\x1b[0m', '\\x1b[31mred\\x1b[0m'],
    ['window title', '\x1b]0;owned\x07', '\\x1b]0;owned\\x07'],
    ['eight-bit control sequence', '\x9b31m', '\\x9b31m'],
    ['line breaks and tabs', 'a\nb\r\tc', 'a\\nb\\r\\tc'],
    ['backspace and delete', 'a\b\x7f', 'a\\x08\\x7f'],
    ['NUL', 'a\0b', 'a\\x00b'],
    ['line separators', 'a\u2028b\u2029', 'a\\u{2028}b\\u{2029}'],
    ['reversed text', 'exe\u202etxt\u2066', 'exe\\u{202e}txt\\u{2066}'],
    ['invisible characters', 'so\u200bcat\ufeff\u00ad', 'so\\u{200b}cat\\u{feff}\\xad'],
    ['half a surrogate pair', 'a\ud800b', 'a\\u{d800}b'],
    ['tags', '\u{e0041}', '\\u{e0041}'],
    ['private use', '\ue000', '\\u{e000}'],
  ];
  for (const [name, text, expected] of cases) {
    t.equal(printable(text), expected, name);
    t.equal(printable(printable(text)), expected, `${name}: stays as it is`);
  }
});

t.test('no control character of any kind survives', async (t) => {
  const all = Array.from({ length: 0x3000 }, (_, code) => String.fromCodePoint(code)).join('');
  t.notMatch(printable(all), /[\p{C}\p{Zl}\p{Zp}]/u);
});

t.test('widths are columns of the terminal, not characters', async (t) => {
  const cases: [string, number][] = [
    ['', 0],
    ['abc', 3],
    ['naïve', 5],
    ['nai\u0308ve', 5],
    ['日本', 4],
    ['한국', 4],
    ['ｆｕｌｌ', 8],
    ['😀', 2],
    ['𠀀', 2],
    ['Ω…', 2],
  ];
  for (const [text, width] of cases) t.equal(displayWidth(text), width, text);
});

t.test('cutting never exceeds the width and never splits a character', async (t) => {
  const cases: [string, number, string][] = [
    ['abcdef', 3, 'abc'],
    ['abc', 10, 'abc'],
    ['abc', 0, ''],
    ['abc', -1, ''],
    ['日本語', 4, '日本'],
    ['日本語', 3, '日'],
    ['日本語', 1, ''],
    ['a😀b', 2, 'a'],
    ['e\u0301e\u0301', 1, 'e\u0301'],
  ];
  for (const [text, width, expected] of cases) t.equal(cutToWidth(text, width), expected, `${text} to ${width}`);
});

t.test('padding fills up to the width on the side asked for', async (t) => {
  t.equal(padToWidth('ab', 4, 'left'), 'ab  ');
  t.equal(padToWidth('ab', 4, 'right'), '  ab');
  t.equal(padToWidth('日本', 5, 'left'), '日本 ');
  t.equal(padToWidth('abcdef', 4, 'right'), 'abcdef');
});

t.test('text is wrapped at spaces, and within words that have no room', async (t) => {
  const cases: [string, number | undefined, string[]][] = [
    ['one two three', undefined, ['--one two three']],
    ['one two three', 15, ['--one two three']],
    ['one two three', 14, ['--one two', '====three']],
    ['one two three', 9, ['--one two', '====three']],
    ['one two three', 8, ['--one', '====two', '====thre', '====e']],
    ['日本語 日本語', 8, ['--日本語', '====日本', '====語']],
    ['', 8, ['--']],
    ['one', 3, ['--o']],
    ['one', 0, ['']],
  ];
  for (const [text, width, expected] of cases) {
    const lines = wrapText(text, width, '--', '====');
    t.strictSame(lines, expected, `${text} to ${width}`);
    for (const line of lines) t.ok(displayWidth(line) <= (width ?? 100), line);
  }
});
