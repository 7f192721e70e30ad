import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

// Fails: the app shows the user's name as it was typed.
test("the user's name is written properly", async ({ device }) => {
  await signIn(device, "ada lovelace");
  await device.getByText("Settings").tap();
  expect(await device.getById("user_name", { exact: true }).getText()).toBe("Ada Lovelace");
});
