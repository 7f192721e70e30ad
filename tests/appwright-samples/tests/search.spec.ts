import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

test("a product is found by its name", async ({ device }) => {
  await signIn(device);
  await expect(device.getByText(/^Back\w+/)).toBeVisible();
});
