const { test, expect } = require('@playwright/test');
const { settle } = require('./app');

const catalogue = ['Espresso', 'Cappuccino', 'Flat white', 'Filter coffee', 'Café crème'];
const plain = (text) => text.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLowerCase();

async function search(words) {
  await settle(120);
  return catalogue.filter((name) => plain(words).split(' ').every((word) => plain(name).includes(word)));
}

test.describe('search', () => {
  test('ignores case and accents', async () => {
    expect(await search('CAFE')).toEqual(['Café crème']);
  });

  test('needs every word', async () => {
    expect(await search('coffee filter')).toEqual(['Filter coffee']);
  });

  test('says so when nothing is found', async () => {
    expect(await search('tea')).toEqual([]);
  });
});
